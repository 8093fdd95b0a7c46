/** The tables of a p2pke swarm: their upper bounds, and that nothing is left in them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { type MemoryAddr, memoryAddr } from '../../src/swarms/memory/index.ts';
import { type P2pkeAddr, p2pke, p2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { drops, helloOf, idOf, network } from '../support/p2pke-world.ts';

const stateOf = (swarm: SecureSwarm<P2pkeAddr<MemoryAddr>>): Readonly<Record<string, unknown>> => inspect(swarm).state;

describe('p2pke at one inner address', () => {
  it('keeps four keys that have proven nothing, and a session with a fifth stays', async () => {
    await using net = network();
    const bob = net.peer(2);
    const inner = net.inner();
    const alice = p2pke(inner, { privateKey: testKey(1), keepInner: true });
    let heard = 0;
    bob.listen(() => void heard++);
    await net.run(alice.tell(bob.addr, Uint8Array.of(1)));
    await net.realm.clock.advance(10);
    for (let i = 0; i < 20; i++) {
      await net.run(inner.tell(bob.addr.inner, helloOf(50 + i, net.realm.wallMs(), i)));
      await net.realm.clock.advance(1);
      assert.ok((stateOf(bob)['channels'] as number) <= 4, `after ${i}`);
    }
    assert.deepEqual([stateOf(bob)['channels'], stateOf(bob)['halfOpen']], [4, 3]);
    await net.run(alice.tell(bob.addr, Uint8Array.of(2)));
    await net.realm.clock.advance(10);
    assert.equal(heard, 2);
    await net.realm.clock.advance(15_001);
    assert.equal(stateOf(bob)['channels'], 1, 'what has proven nothing is gone');
    await alice.close();
  });

  it('refuses a fifth key while four are in use, and gives it the place of one that is idle', async () => {
    await using net = network();
    const bob = net.peer(2, { limits: { keepAliveMs: Infinity } });
    bob.listen(() => {});
    const inner = net.inner();
    for (let key = 11; key <= 15; key++) {
      const peer = p2pke(inner, { privateKey: testKey(key), keepInner: true });
      const told = codeOf(peer.tell(bob.addr, Uint8Array.of(1), { timeoutMs: 400 }));
      assert.equal(await net.run(told), key < 15 ? 'resolved' : 'timeout', String(key));
      await net.realm.clock.advance(10);
      await net.run(peer.close());
    }
    assert.ok(drops(bob, 'overloaded') > 0);
    assert.deepEqual([stateOf(bob)['channels'], stateOf(bob)['halfOpen']], [4, 0]);
    await net.realm.clock.advance(15_000);
    const late = p2pke(inner, { privateKey: testKey(16), keepInner: true });
    assert.equal(await net.run(codeOf(late.tell(bob.addr, Uint8Array.of(1)))), 'resolved');
    assert.equal(stateOf(bob)['channels'], 4);
    await late.close();
  });

  it('calls no more than four keys, and says which limit that is', async () => {
    await using net = network();
    const alice = net.peer(1, { timeoutMs: 1000 });
    const told = [1, 2, 3, 4, 5].map((n) =>
      alice.tell(p2pkeAddr(idOf(20 + n), memoryAddr(77)), Uint8Array.of(1)).catch((error: unknown) => error),
    );
    const errors = await net.run(Promise.all(told));
    assert.deepEqual(
      errors.map((error) => (P2PError.is(error) ? error.code : error)),
      ['timeout', 'timeout', 'timeout', 'timeout', 'limit_exceeded'],
    );
    assert.match(String(errors[4]), /4 at one address \(maxChannelsPerAddr\)/);
  });
});

describe('the tables of p2pke', () => {
  it('are empty when all peers have gone and their sessions have ended, and nothing is armed then', async () => {
    await using net = network();
    const hub = net.peer(1);
    hub.listen(({ src }) => hub.tell(src, Uint8Array.of(9)).catch(() => undefined));
    const peers = Array.from({ length: 10 }, (_, i) => net.peer(10 + i));
    for (const peer of peers) await net.run(peer.tell(hub.addr, Uint8Array.of(1)));
    const nobody = p2pkeAddr(idOf(99), memoryAddr(99));
    const failed = codeOf(hub.tell(nobody, Uint8Array.of(1)));
    const looked = codeOf(hub.lookupPublicKey(nobody, { timeoutMs: 100 }));
    await net.run(net.inner().tell(hub.addr.inner, helloOf(98, net.realm.wallMs(), 1)));
    assert.deepEqual([await net.run(failed), await looked], ['timeout', 'timeout']);
    for (const peer of peers) await net.run(peer.close());
    await net.realm.clock.advance(200_000);
    const { rememberedPeers, ...rest } = stateOf(hub);
    assert.equal(rememberedPeers, 10);
    assert.deepEqual(rest, {
      channels: 0,
      halfOpen: 0,
      waitingMessages: 0,
      waitingBytes: 0,
      provenSources: 0,
      pendingMessages: 0,
    });
    const { sent } = hub.counters.inner!;
    await net.realm.clock.advance(3_600_000);
    assert.equal(hub.counters.inner!.sent, sent);
  });

  it('are empty when it is closed in the middle of everything, and nothing is sent or awaited afterwards', async () => {
    await using net = network({ netem: { latencyMs: 20 } });
    const inner = net.inner();
    const hub = p2pke(inner, { privateKey: testKey(1), keepInner: true });
    hub.listen(() => {});
    const [early, late, called] = [net.peer(2), net.peer(3), net.peer(4)];
    await net.run(early.tell(hub.addr, Uint8Array.of(1)));
    void late.tell(hub.addr, Uint8Array.of(1)).catch(() => undefined);
    await net.realm.clock.advance(30);
    const calls = [called.addr, p2pkeAddr(idOf(99), memoryAddr(99))].flatMap((dst) => [
      codeOf(hub.tell(dst, Uint8Array.of(1))),
      codeOf(hub.lookupPublicKey(dst)),
    ]);
    await net.realm.clock.advance(50);
    const { sent } = inner.counters;
    await net.run(hub.close());
    assert.ok((await Promise.all(calls)).every((code) => code === 'closed' || code === 'resolved'));
    const { channels, halfOpen, waitingMessages, waitingBytes, pendingMessages } = stateOf(hub);
    assert.deepEqual([channels, halfOpen, waitingMessages, waitingBytes, pendingMessages], [0, 0, 0, 0, 0]);
    await net.realm.clock.advance(60_000);
    assert.equal(inner.counters.sent, sent);
    assert.equal(net.realm.clock.waits.filter((what) => what.includes(called.addr.text)).length, 0);
  });

  it('of half-open peers give the place of the busiest source, so that a quiet one completes its handshake', async () => {
    await using net = network({ netem: { latencyMs: 100 } });
    const bob = net.peer(2, { limits: { maxHalfOpen: 5, maxChannelsPerAddr: 100, hellosPerSecond: 1000 } });
    let heard = 0;
    bob.listen(() => void heard++);
    const mallory = net.inner();
    const alice = net.peer(1);
    const told = alice.tell(bob.addr, Uint8Array.of(1));
    for (let i = 0; i < 40; i++) {
      await net.run(mallory.tell(bob.addr.inner, helloOf(50 + i, net.realm.wallMs(), i)));
      await net.realm.clock.advance(5);
      assert.ok((stateOf(bob)['halfOpen'] as number) <= 5);
    }
    await net.run(told);
    await net.realm.clock.advance(300);
    assert.equal(heard, 1);
    assert.equal(alice.counters.inner!.sent <= 6, true, 'the first InitHello was the one');
  });
});
