import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type NestedAddr, makeAddr } from '../../src/core/addr.ts';
import { P2PError } from '../../src/core/errors.ts';
import { type AskHandler } from '../../src/core/message.ts';
import { type PeerId, encodePeerId } from '../../src/core/peer-id.ts';
import { type PublicKey, type SecureAskSwarm } from '../../src/core/secure.ts';
import { allow, createPeerList } from '../../src/wrappers/allow.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';

function world(
  accept: (addr: MemoryAddr, key: PublicKey) => boolean,
  serve: AskHandler<MemoryAddr> = ({ payload }) => payload,
) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const [a, bob] = [1, 2].map((i) => realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) })) as [
    SecureAskSwarm<MemoryAddr>,
    SecureAskSwarm<MemoryAddr>,
  ];
  const alice = allow(a, { accept });
  const heard = { alice: 0, bob: 0 };
  alice.listen(() => void heard.alice++);
  bob.listen(() => void heard.bob++);
  alice.serve(serve);
  bob.serve(serve);
  return { realm, alice, bob, heard, toAlice: memoryAddr(0), toBob: memoryAddr(1) };
}
const refused = (error: unknown): boolean => P2PError.is(error, 'refused');

describe('allow', () => {
  it('lets nobody through whom it does not accept, in neither direction, tells and asks', async () => {
    const { realm, alice, bob, heard, toAlice, toBob } = world(() => false);
    await assert.rejects(
      alice.tell(toBob, Uint8Array.of(1)),
      (error) => refused(error) && P2PError.is(error) && error.side === 'local' && error.sent === 'no',
    );
    await assert.rejects(realm.clock.run(alice.ask(toBob, Uint8Array.of(1))), refused);
    void bob.tell(toAlice, Uint8Array.of(1));
    await assert.rejects(realm.clock.run(bob.ask(toAlice, Uint8Array.of(1))), refused);
    assert.deepEqual(heard, { alice: 0, bob: 0 });
    assert.equal(alice.counters.drops.get('refused'), 4);
  });

  it('judges by address and proven key', async () => {
    const seen: string[] = [];
    const { alice, toBob } = world((addr, key) => {
      seen.push(`${addr.text} ${key.spki.join()}`);
      return true;
    });
    await alice.tell(toBob, Uint8Array.of(1));
    assert.deepEqual(seen, ['1 2']);
  });

  it('a change counts at once, for what comes and what goes', async () => {
    let open = true;
    const { realm, alice, bob, heard, toAlice, toBob } = world(() => open);
    const both = async (): Promise<void> => {
      void alice.tell(toBob, Uint8Array.of(1));
      void bob.tell(toAlice, Uint8Array.of(1));
      await realm.clock.advance(1);
    };
    await both();
    open = false;
    await both();
    open = true;
    await both();
    assert.deepEqual(heard, { alice: 2, bob: 2 });
  });

  it('a change counts for answers under way', async () => {
    let open = true;
    const answered = Promise.withResolvers<void>();
    const { realm, alice, bob, toAlice, toBob } = world(
      () => open,
      ({ payload }) => answered.promise.then(() => payload),
    );
    const asks = Promise.allSettled([alice.ask(toBob, Uint8Array.of(1)), bob.ask(toAlice, Uint8Array.of(2))]);
    await realm.clock.advance(50);
    open = false;
    answered.resolve();
    for (const end of await realm.clock.run(asks)) assert.ok(end.status === 'rejected' && refused(end.reason));
  });

  for (const [what, accept] of [
    ['a promise of true', () => Promise.resolve(true)],
    ['a promise of false', () => Promise.resolve(false)],
    ['a promise that rejects', () => Promise.reject(new Error('mine'))],
    ['nothing', () => undefined],
    ['a text', () => 'yes'],
    ['one', () => 1],
  ] as const) {
    it(`an accept that answers ${what} is a no, counted and traced`, async () => {
      const { realm, alice, bob, heard, toAlice, toBob } = world(accept as never);
      await assert.rejects(alice.tell(toBob, Uint8Array.of(1)), refused);
      void bob.tell(toAlice, Uint8Array.of(1));
      await assert.rejects(realm.clock.run(bob.ask(toAlice, Uint8Array.of(1))), refused);
      assert.deepEqual(heard, { alice: 0, bob: 0 });
      assert.equal(alice.counters.drops.get('handler_error'), 3);
    });
  }

  it('an accept that throws is a no', async () => {
    const { alice, toBob } = world(() => {
      throw new Error('broken list');
    });
    await assert.rejects(alice.tell(toBob, Uint8Array.of(1)), refused);
  });

  it('takes only secure swarms', () => {
    // @ts-expect-error not secure
    assert.throws(() => allow(createMemoryRealm().swarm(), { accept: () => true }), TypeError);
    const secure = createMemoryRealm().secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) });
    // @ts-expect-error no function
    assert.throws(() => allow(secure, {}), TypeError);
  });
});

describe('createPeerList', () => {
  const id = (n: number): PeerId => encodePeerId(new Uint8Array(32).fill(n));
  const at = (peer: PeerId) =>
    makeAddr<NestedAddr & { id: PeerId }>({ id: peer, inner: memoryAddr(1), text: `${peer}@1` });
  const key: PublicKey = { algorithm: 'test', spki: Uint8Array.of(1) };

  it('lets through who is allowed, keeps out who is denied, and treats the others as told', () => {
    const allowing = createPeerList({ allow: [id(1)] });
    assert.deepEqual(
      [1, 2].map((n) => allowing.accept(at(id(n)), key)),
      [true, false],
    );
    const denying = createPeerList({ deny: [id(1)] });
    assert.deepEqual(
      [1, 2].map((n) => denying.accept(at(id(n)), key)),
      [false, true],
    );
    assert.equal(allowing.accept(memoryAddr(5), key), false);
    assert.equal(createPeerList({ others: 'deny' }).accept(at(id(9)), key), false);
  });

  it('tells misuse at once', () => {
    assert.throws(() => createPeerList({ allow: ['nobody'] }), TypeError);
    // @ts-expect-error neither allow nor deny
    assert.throws(() => createPeerList({ others: 'maybe' }), TypeError);
  });

  it('can be changed at any time, and serves allow()', async () => {
    const list = createPeerList({ deny: [] });
    const realm = createMemoryRealm({ clock: 'virtual' });
    const named = mapAddrs<MemoryAddr, ReturnType<typeof at>, SecureAskSwarm<MemoryAddr>>(realm.secureSwarm(key), {
      up: ({ n }) => at(id(n)),
      down: () => memoryAddr(1),
    });
    realm.secureSwarm(key);
    const swarm = allow(named, list);
    await swarm.tell(at(id(1)), Uint8Array.of(1));
    list.deny(id(1));
    await assert.rejects(swarm.tell(at(id(1)), Uint8Array.of(1)), refused);
    list.forget(id(1));
    await swarm.tell(at(id(1)), Uint8Array.of(1));
    list.allow(id(1));
    assert.throws(() => list.allow('nobody'), TypeError);
  });
});
