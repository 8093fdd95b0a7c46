/** Peers that move to another address, and drains of a whole endpoint. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Swarm } from '../../src/core/swarm.ts';
import { endpoint } from '../../src/endpoint/index.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { bytes, errorOf, take, type World, world } from '../support/endpoint-world.ts';

/** A swarm that can move to another address. */
function movable({ realm }: World): { readonly swarm: Swarm<MemoryAddr>; readonly move: () => MemoryAddr } {
  let current: Swarm<MemoryAddr> = realm.swarm();
  let hear: Parameters<Swarm<MemoryAddr>['listen']>[0] = () => {};
  current.listen((message) => hear(message));
  const first = current;
  const swarm: Swarm<MemoryAddr> = {
    realm: first.realm,
    counters: first.counters,
    closed: first.closed,
    get addr() {
      return current.addr;
    },
    localAddrs: () => current.localAddrs(),
    parseAddr: (text) => first.parseAddr(text),
    tryParseAddr: (text) => first.tryParseAddr(text),
    mtu: (dst) => first.mtu(dst),
    tell: (dst, payload, options) => current.tell(dst, payload, options),
    listen: (handler) => {
      hear = handler;
      return { [Symbol.dispose]: () => {} };
    },
    drain: (options) => current.drain(options),
    close: () => first.close(),
    [Symbol.asyncDispose]: () => first.close(),
  };
  const move = (): MemoryAddr => {
    current = realm.swarm();
    current.listen((message) => hear(message));
    return current.addr;
  };
  return { swarm, move };
}

describe('endpoint: a peer that moves', () => {
  it('is found at its new address and by its PeerID, and no more at the old one; the connection goes on', async () => {
    const traced: string[] = [];
    const w = world(undefined, ({ layer, type, addr }) => {
      if (layer === 'endpoint' && type === 'addr_changed') traced.push(addr!.text);
    });
    const bob = w.open();
    const { swarm, move } = movable(w);
    const alice = endpoint(swarm, { privateKey: testKey(40) });
    const here = await w.run(alice.connect(bob.addr));
    await w.run(here.send(bytes('from home'), { acked: true }));
    const there = bob.openConnections()[0]!;
    const old = there.remoteAddr;
    const moved = move();
    await w.run(here.send(bytes('on the road'), { acked: true }));
    await w.pass(1000);
    assert.notEqual(moved.text, old.text);
    assert.equal(there.remoteAddr.text, moved.text);
    assert.deepEqual(traced, [moved.text]);
    assert.equal(bob.connectionTo(moved), there);
    assert.equal(bob.connectionTo(alice.peerId), there);
    assert.equal(bob.connectionTo(old), undefined);
    const got = await w.run(take(bob.messages(), 2));
    assert.deepEqual(
      got.map(({ payload }) => payload),
      [bytes('from home'), bytes('on the road')],
    );
    await w.run(there.send(bytes('welcome'), { acked: true }));
    assert.deepEqual((await w.run(take(alice.messages(), 1)))[0]?.payload, bytes('welcome'));
    // The address is remembered when the connection is gone.
    await w.run(here.close());
    await w.pass(100);
    await w.run(bob.send(alice.peerId, bytes('again'), { acked: true }));
  });
});

describe('endpoint: drain', () => {
  it('waits until all peers have acknowledged everything, and fails by its timeout and once closed', async () => {
    const w = world({ latencyMs: 100 });
    const [alice, bob, carol] = [w.open(), w.open(), w.open()];
    for (const peer of [bob, carol]) await w.run(alice.connect(peer.addr));
    const before = w.realm.nowMs();
    for (const peer of [bob, carol]) await w.run(alice.send(peer.addr, bytes('hi')));
    assert.equal(w.realm.nowMs(), before, 'handed over, and not acknowledged');
    assert.equal((await w.run(errorOf(alice.drain({ timeoutMs: 150 })))).code, 'timeout');
    await w.run(alice.drain());
    assert.equal(w.realm.nowMs() - before, 200);
    for (const peer of [bob, carol]) assert.equal(peer.openConnections().length, 1);
    await w.run(alice.close());
    assert.equal((await w.run(errorOf(alice.drain()))).code, 'closed');
  });
});
