import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { AskSwarm } from '../../src/core/ask.ts';
import { receiveOne } from '../../src/runtime/receive.ts';
import { allow } from '../../src/wrappers/allow.ts';
import { frag } from '../../src/wrappers/frag.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { multi } from '../../src/wrappers/multi.ts';
import { mux } from '../../src/wrappers/mux.ts';

const closed = (error: unknown): boolean => P2PError.is(error, 'closed');

/** One swarm of every kind, over a realm of its own. */
function each(): [string, AskSwarm<Addr>][] {
  const make = () => createMemoryRealm({ clock: 'virtual' }).secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) });
  const same = { up: (addr: MemoryAddr) => addr, down: (addr: MemoryAddr) => addr };
  const swarms = {
    memory: make(),
    frag: frag(make()),
    mux: mux(make(), 'string').open('x'),
    multi: multi({ memory: make() }),
    map: mapAddrs(make(), same),
    allow: allow(make(), { accept: () => true }),
    mbapp: mbapp(make()),
  };
  return Object.entries(swarms as unknown as Record<string, AskSwarm<Addr>>);
}

for (const [name, swarm] of each()) {
  describe(`${name}, when it closes`, () => {
    it('releases who waits for a message or an answer, and refuses whoever comes later (H1, H2)', async () => {
      const waiting = receiveOne(swarm);
      const asked = swarm.ask(swarm.addr, Uint8Array.of(1)).catch((error: unknown) => error);
      swarm.serve(() => new Promise(() => {}));
      await swarm.close();
      await assert.rejects(waiting, closed);
      assert.ok(closed(await asked));
      await assert.rejects(receiveOne(swarm), closed);
      assert.throws(() => swarm.serve(() => Uint8Array.of(1)), closed);
    });
  });
}

describe('a memory swarm that is gone', () => {
  it('answers no ask with nothing, and frees its address (H2, H3)', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    bob.serve(({ payload }) => payload);
    await bob.close();
    await assert.rejects(realm.clock.run(alice.ask(memoryAddr(1), Uint8Array.of(1))), (error) =>
      P2PError.is(error, 'unreachable'),
    );
    assert.equal(realm.size, 1);
    realm.swarm(1);
  });

  it('asks keep to the MTU and to the network, as tells do (H3)', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 10 });
    const [alice, bob] = [realm.swarm(), realm.swarm()];
    bob.serve(({ payload }) => payload);
    await assert.rejects(alice.ask(memoryAddr(1), new Uint8Array(11)), (error) => P2PError.is(error, 'mtu_exceeded'));
    realm.cut();
    await assert.rejects(realm.clock.run(alice.ask(memoryAddr(1), new Uint8Array(1))), (error) =>
      P2PError.is(error, 'timeout'),
    );
  });

  it('a handler that throws loses no place in the queue (H5)', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', maxQueuedMessages: 4 });
    const [alice, bob] = [realm.swarm(), realm.swarm(undefined, { maxPendingMessages: 4 })];
    let calls = 0;
    bob.listen(() => {
      calls++;
      return calls % 2 === 0
        ? Promise.reject(new Error('broken'))
        : Promise.resolve().then(() => Promise.reject(new Error('broken')));
    });
    for (let i = 0; i < 100; i++) {
      void alice.tell(memoryAddr(1), Uint8Array.of(i));
      await realm.clock.advance(1);
    }
    assert.equal(calls, 100);
  });
});
