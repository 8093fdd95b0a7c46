import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Accept } from '../../src/core/accept.ts';
import { type NestedAddr, makeAddr } from '../../src/core/addr.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { AskHandler } from '../../src/core/message.ts';
import { type PeerId, encodePeerId } from '../../src/core/peer-id.ts';
import type { PublicKey, SecureAskSwarm } from '../../src/core/secure.ts';
import { allow, createPeerList } from '../../src/wrappers/allow.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';

function world(accept: Accept<MemoryAddr>, serve: AskHandler<MemoryAddr> = ({ payload }) => payload) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const [a, bob] = [1, 2].map((i) => realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) })) as [
    SecureAskSwarm<MemoryAddr>,
    SecureAskSwarm<MemoryAddr>,
  ];
  const alice = allow(a, { accept });
  const heard = { alice: 0, bob: 0 };
  const texts: number[] = [];
  alice.listen(({ payload }) => {
    heard.alice++;
    texts.push(payload[0]!);
  });
  bob.listen(() => void heard.bob++);
  alice.serve(serve);
  bob.serve(serve);
  return { realm, alice, bob, heard, texts, toAlice: memoryAddr(0), toBob: memoryAddr(1) };
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
    const { alice, toBob } = world(({ addr, publicKey, side }) => {
      seen.push(`${addr.text} ${publicKey.spki.join()} ${side}`);
      return true;
    });
    await alice.tell(toBob, Uint8Array.of(1));
    assert.deepEqual(seen, ['1 2 responder']);
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
    ['a promise of one', () => Promise.resolve(1)],
    ['a promise that rejects', () => Promise.reject(new Error('mine'))],
    ['nothing', () => undefined],
    ['a text', () => 'yes'],
    ['one', () => 1],
  ] as const) {
    it(`an accept that answers ${what} is a no, counted and traced`, async () => {
      const { realm, alice, bob, heard, toAlice, toBob } = world(accept as never);
      await assert.rejects(alice.tell(toBob, Uint8Array.of(1)), refused);
      await realm.clock.run(bob.tell(toAlice, Uint8Array.of(1)));
      await realm.clock.advance(1);
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

describe('allow with an accept that takes its time', () => {
  const slowly = (ms: number, answer: () => boolean) => {
    const asked: string[] = [];
    const made = world(async ({ id }) => {
      asked.push(id);
      await new Promise<void>((resolve) => made.realm.clock.setTimer(made.realm.nowMs() + ms, resolve));
      return answer();
    });
    return { ...made, asked };
  };
  const byte = (value: number): Uint8Array => Uint8Array.of(value);

  it('holds messages in both directions until the yes, keeps their order, and asks once', async () => {
    const { realm, alice, bob, toAlice, toBob, asked, heard, texts } = slowly(1000, () => true);
    for (const i of [1, 2, 3]) void bob.tell(toAlice, byte(i));
    const told = Promise.all([1, 2, 3].map((i) => alice.tell(toBob, byte(i))));
    const answer = bob.ask(toAlice, byte(7));
    await realm.clock.advance(999);
    assert.deepEqual(heard, { alice: 0, bob: 0 });
    await realm.clock.run(told);
    assert.deepEqual([...(await realm.clock.run(answer))], [7]);
    await realm.clock.advance(10);
    assert.deepEqual(texts, [1, 2, 3]);
    await realm.clock.run(alice.ask(toBob, byte(8)));
    assert.equal(asked.length, 1);
  });

  it('remembers a verdict until recheck', async () => {
    let isFriend = true;
    const { realm, alice, toBob, asked } = slowly(10, () => isFriend);
    await realm.clock.run(alice.tell(toBob, byte(1)));
    isFriend = false;
    await realm.clock.run(alice.tell(toBob, byte(2)));
    assert.equal(asked.length, 1);
    await alice.recheck();
    await assert.rejects(realm.clock.run(alice.tell(toBob, byte(3))), refused);
    isFriend = true;
    await assert.rejects(realm.clock.run(alice.tell(toBob, byte(4))), refused);
    assert.equal(asked.length, 2);
  });

  it('asks again about what waits when it is rechecked', async () => {
    let isFriend = true;
    const { realm, alice, toBob, asked } = slowly(100, () => isFriend);
    const told = alice.tell(toBob, byte(1));
    await realm.clock.advance(50);
    isFriend = false;
    await alice.recheck();
    await assert.rejects(realm.clock.run(told), refused);
    assert.equal(asked.length, 2);
  });

  it('delivers nothing when no verdict comes, gives up after five seconds, and bounds what waits', async () => {
    const { realm, alice, bob, heard, toAlice, toBob } = world(() => new Promise(() => undefined));
    for (let i = 0; i < 200; i++) void bob.tell(toAlice, byte(i));
    await realm.clock.advance(4000);
    assert.equal(alice.counters.drops.get('queue_full'), 200 - 64);
    await assert.rejects(alice.tell(toBob, byte(1)), { code: 'limit_exceeded' });
    await realm.clock.advance(2000);
    assert.deepEqual(heard, { alice: 0, bob: 0 });
    assert.equal(alice.counters.drops.get('refused'), 64);
    assert.equal(alice.counters.drops.get('handler_error'), 1);
  });

  it('ends what waits when it closes', async () => {
    const { realm, alice, toBob } = world(() => new Promise(() => undefined));
    const told = alice.tell(toBob, byte(1));
    await realm.clock.run(alice.close());
    await assert.rejects(told, { code: 'closed' });
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
      [1, 2].map((n) => allowing.accept({ id: id(n) })),
      [true, false],
    );
    const denying = createPeerList({ deny: [id(1)] });
    assert.deepEqual(
      [1, 2].map((n) => denying.accept({ id: id(n) })),
      [false, true],
    );
    assert.equal(createPeerList({ others: 'deny' }).accept({ id: id(9) }), false);
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
