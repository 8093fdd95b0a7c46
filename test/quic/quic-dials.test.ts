/** Dials of a QUIC swarm and an endpoint: who gets the connection, and what is counted where one fails. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { drops, errorOf, pair, world } from '../support/endpoint-world.ts';
import { idOf } from '../support/p2pke-world.ts';

function two() {
  const realm = createMemoryRealm({ clock: 'virtual', mtu: 1500 });
  const open = (key: number) => quic(realm.swarm(), { privateKey: testKey(key) });
  const [alice, bob] = [open(1), open(2)];
  bob.serve(({ payload }) => payload);
  return { realm, alice, bob, dst: bob.addr.text };
}

describe('a QUIC swarm that dials', () => {
  it('gives the connection to those who wait for the same peer at another address too', async () => {
    const { realm, alice, dst } = two();
    const elsewhere = alice.ask(alice.parseAddr(`${idOf(2)}@99`), Uint8Array.of(1), { timeoutMs: 1000 });
    const there = alice.ask(alice.parseAddr(dst), Uint8Array.of(2), { timeoutMs: 1000 });
    assert.deepEqual([...(await realm.clock.run(elsewhere))], [1]);
    assert.deepEqual([...(await realm.clock.run(there))], [2]);
    assert.ok(realm.nowMs() < 1000);
  });

  it('and finds another peer there ends the dial; the other side counts a handshake that failed', async () => {
    const { realm, alice, bob, dst } = two();
    const wrong = alice.parseAddr(`${idOf(9)}@${dst.split('@')[1]}`);
    assert.equal((await realm.clock.run(errorOf(alice.ask(wrong, Uint8Array.of(1))))).code, 'identity_mismatch');
    await realm.clock.advance(100);
    assert.deepEqual(Object.fromEntries(bob.counters.drops), { 'quic.handshake_failed': 1 });
    assert.deepEqual([inspect(alice).state['dials'], inspect(bob).state['connections']], [0, 0]);
  });

  it('takes a swarm and nothing else below it', () => {
    for (const wrong of [5, null, undefined, 'swarm']) {
      assert.throws(() => quic(wrong as never, { privateKey: testKey(1) }), /Cannot/, String(wrong));
    }
  });
});

describe('an endpoint', () => {
  it('counts handshakes that fail, one for each, and none that succeed', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const expect = idOf(9);
    const error = await w.run(errorOf(alice.connect(bob.addr, { expect })));
    assert.equal(error.code, 'identity_mismatch');
    await w.run(alice.connect(bob.addr));
    await w.pass(100);
    assert.deepEqual([drops(bob, 'endpoint.handshake_failed'), drops(alice, 'endpoint.handshake_failed')], [1, 0]);
  });

  it('drains a connection that has ended by saying so', async () => {
    const w = world();
    const { here } = await pair(w);
    await w.run(here.drain());
    await w.run(here.close());
    assert.equal((await w.run(errorOf(here.drain()))).code, 'disconnected');
  });
});
