import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type NestedAddr, makeAddr } from '../../src/core/addr.ts';
import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import { type PeerId, encodePeerId } from '../../src/core/peer-id.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { type AddrSource, type PeerSwarmOptions, peerAddr, peerSwarm } from '../../src/wrappers/peer.ts';
import { askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';

interface Keyed extends NestedAddr<MemoryAddr> {
  readonly id: PeerId;
}

const idOf = (n: number): PeerId => encodePeerId(new Uint8Array(32).fill(n + 1));
const keyed = (n: number, id = idOf(n)): Keyed => {
  const inner = memoryAddr(n);
  return makeAddr<Keyed>({ id, inner, text: `${id}@${inner.text}` });
};

/** A world whose swarms have addresses with PeerIDs, and who is where. */
function world(n: number, options: Partial<PeerSwarmOptions<Keyed>> = {}) {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const book = new Map<PeerId, Keyed[]>();
  const asked: PeerId[] = [];
  const source: AddrSource<Keyed> = (id) => {
    asked.push(id);
    return book.get(id) ?? [];
  };
  const inner = Array.from({ length: n }, (_, i) => {
    book.set(idOf(i), [keyed(i)]);
    const memory = realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) });
    const map = {
      up: (addr: MemoryAddr) => keyed(addr.n),
      down: (addr: Keyed) => {
        if (typeof addr !== 'object' || !('id' in addr)) throw new TypeError('Cannot take dst: no keyed address');
        return addr.inner;
      },
    };
    return mapAddrs<MemoryAddr, Keyed, SecureAskSwarm<MemoryAddr>>(memory, map);
  });
  const swarms = inner.map((swarm) => peerSwarm(swarm, { source, ...options }));
  return { realm, book, asked, inner, swarms };
}

const fixture = {
  make: async (n: number) => {
    const { realm, swarms } = world(n);
    return {
      swarms,
      run: <T>(promise: Promise<T>) => realm.clock.run(promise),
      unknownAddr: () => peerAddr(idOf(99)),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};
swarmSuite({ describe, it }, 'peer over memory', fixture);
askSuite({ describe, it }, 'peer over memory', fixture);
secureSuite({ describe, it }, 'peer over memory', fixture);

describe('peerSwarm', () => {
  it('tries the address that worked last, or that a message came from, before it asks the source', async () => {
    const { realm, asked, swarms } = world(2);
    const [alice, bob] = swarms as [(typeof swarms)[0], (typeof swarms)[0]];
    bob.listen(({ src }) => void bob.tell(src, Uint8Array.of(2)));
    alice.listen(() => {});
    for (let i = 0; i < 3; i++) {
      await realm.clock.run(alice.tell(peerAddr(idOf(1)), Uint8Array.of(1)));
      await realm.clock.advance(10);
    }
    assert.deepEqual(asked, [idOf(1)]);
    assert.equal(alice.counters.received, 3);
  });

  it('races the addresses of the source with stagger, and the first that proves to be the peer wins', async () => {
    const { realm, book, swarms } = world(3, { staggerMs: 100 });
    const slow = memoryAddr(1);
    const [alice] = swarms as [(typeof swarms)[0]];
    // Nobody answers at 77 and 78; a search by lookupPublicKey rejects at once there, so each is skipped at once.
    book.set(idOf(1), [keyed(77, idOf(1)), keyed(78, idOf(1)), keyed(slow.n)]);
    await realm.clock.run(alice.tell(peerAddr(idOf(1)), Uint8Array.of(1)));
    assert.ok(realm.nowMs() < 300, `took ${realm.nowMs()} ms`);
  });

  it('takes addresses that come over time, sync or async', async () => {
    for (const make of [
      async function* () {
        yield keyed(1);
      },
      () => Promise.resolve([keyed(1)]),
      () => new Set([keyed(1)]),
    ]) {
      const { realm, swarms } = world(2, { source: make });
      await realm.clock.run(swarms[0]!.tell(peerAddr(idOf(1)), Uint8Array.of(1)));
    }
  });

  it('is unreachable with one cause per address when none works, also when an address names another peer', async () => {
    const { realm, book, swarms } = world(2);
    book.set(idOf(1), [keyed(77, idOf(1)), keyed(0), keyed(78, idOf(1))]);
    const told = realm.clock.run(swarms[0]!.tell(peerAddr(idOf(1)), Uint8Array.of(1)));
    await assert.rejects(told, (error) => {
      assert.ok(P2PError.is(error, 'unreachable') && error.cause instanceof AggregateError);
      assert.deepEqual(
        error.cause.errors.map((each: P2PError) => each.code),
        ['unreachable', 'identity_mismatch', 'unreachable'],
      );
      return true;
    });
    await assert.rejects(realm.clock.run(swarms[0]!.tell(peerAddr(idOf(50)), Uint8Array.of(1))), /no address is known/);
  });

  it('a source that fails ends its addresses, not the search, and is one of the causes', async () => {
    const source = async function* (): AsyncGenerator<Keyed> {
      yield keyed(1);
      throw new Error('the book burns');
    };
    const { realm, inner, swarms } = world(2, { source });
    await realm.clock.run(swarms[0]!.tell(peerAddr(idOf(1)), Uint8Array.of(1)));
    await inner[1]!.close();
    await assert.rejects(realm.clock.run(swarms[0]!.lookupPublicKey(peerAddr(idOf(9)))), (error) => {
      assert.ok(P2PError.is(error, 'unreachable') && error.cause instanceof AggregateError);
      return error.cause.errors.some((cause) => String(cause).includes('the book burns'));
    });
  });

  it('ends a search at the deadline, at an abort, and at close', async () => {
    const never: AddrSource<Keyed> = async function* () {
      yield* await new Promise<Keyed[]>(() => {});
    };
    const { realm, swarms } = world(2, { source: never });
    const [alice] = swarms as [(typeof swarms)[0]];
    const dst = peerAddr(idOf(1));
    await assert.rejects(realm.clock.run(alice.tell(dst, Uint8Array.of(1), { timeoutMs: 500 })), (error) =>
      P2PError.is(error, 'timeout'),
    );
    assert.equal(realm.nowMs(), 500);
    const controller = new AbortController();
    const reason = new Error('given up');
    const aborted = alice.ask(dst, Uint8Array.of(1), { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(aborted, (error) => error === reason);
    const closed = alice.tell(dst, Uint8Array.of(1));
    await alice.close();
    await assert.rejects(closed, (error) => P2PError.is(error, 'closed'));
  });

  it('one call that gives up a shared search leaves it to the others', async () => {
    const { realm, book, swarms } = world(2, {
      source: async (id) => {
        await new Promise<void>((resolve) => void realm.clock.setTimer(realm.nowMs() + 400, resolve));
        return book.get(id) ?? [];
      },
    });
    const [alice, bob] = swarms as [(typeof swarms)[0], (typeof swarms)[0]];
    bob.serve(({ payload }) => payload);
    const dst = peerAddr(idOf(1));
    const given = new AbortController();
    const ends = Promise.allSettled([
      alice.ask(dst, Uint8Array.of(1), { signal: given.signal }),
      alice.ask(dst, Uint8Array.of(2), { timeoutMs: 100 }),
      alice.ask(dst, Uint8Array.of(3)),
    ]);
    given.abort(new Error('given up'));
    const [aborted, late, answered] = await realm.clock.run(ends);
    assert.match(String(aborted?.status === 'rejected' && aborted.reason), /given up/);
    assert.ok(late?.status === 'rejected' && P2PError.is(late.reason, 'timeout'));
    assert.deepEqual(answered?.status === 'fulfilled' && answered.value, Uint8Array.of(3));
  });

  it('what the search takes is taken from the deadline of the call', async () => {
    const { realm, book, swarms } = world(2, {
      source: async (id) => {
        await new Promise<void>((resolve) => void realm.clock.setTimer(realm.nowMs() + 900, resolve));
        return book.get(id) ?? [];
      },
    });
    swarms[1]!.serve(() => new Promise<Uint8Array>(() => {}));
    const asked = swarms[0]!.ask(peerAddr(idOf(1)), Uint8Array.of(1), { timeoutMs: 1000 });
    await assert.rejects(realm.clock.run(asked), (error) => P2PError.is(error, 'timeout'));
    assert.equal(realm.nowMs(), 1000);
  });

  it('finds a peer that has moved', async () => {
    const { realm, book, inner, swarms } = world(2);
    const [alice] = swarms as [(typeof swarms)[0]];
    swarms[1]!.serve(() => Uint8Array.of(1));
    await realm.clock.run(alice.ask(peerAddr(idOf(1)), Uint8Array.of(1)));
    await inner[1]!.close();
    const moved = realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) }, 5);
    moved.serve(() => Uint8Array.of(2));
    book.set(idOf(1), [keyed(5, idOf(1))]);
    assert.deepEqual(await realm.clock.run(alice.ask(peerAddr(idOf(1)), Uint8Array.of(1))), Uint8Array.of(2));
  });
});

describe('what peerSwarm remembers', () => {
  it('is where so many peers were last, and no more: the one unused for longest is looked for again', async () => {
    const { realm, asked, swarms } = world(5, { maxRememberedPeers: 2 });
    const [alice, ...others] = swarms;
    for (const other of others) other.listen(() => {});
    for (const n of [1, 2, 3, 4]) await realm.clock.run(alice!.lookupPublicKey(peerAddr(idOf(n))));
    assert.equal(inspect(alice!).state['rememberedPeers'], 2);
    asked.length = 0;
    for (const n of [4, 3, 1]) await realm.clock.run(alice!.lookupPublicKey(peerAddr(idOf(n))));
    assert.deepEqual(asked, [idOf(1)]);
    assert.equal(inspect(alice!).state['rememberedPeers'], 2);
  });
});
