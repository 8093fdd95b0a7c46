/** What one source can take of a p2pke swarm: its share. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { addressedRealm, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { type P2pkeAddr, type P2pkeOptions, p2pke } from '../../src/swarms/p2pke/index.ts';
import { PeerMemory } from '../../src/swarms/p2pke/peer-memory.ts';
import { type UdpAddr, parseUdpAddr } from '../../src/net/socket-address.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { codeOf } from '../support/code-of.ts';
import { helloOf, idOf } from '../support/p2pke-world.ts';

type Peer = SecureSwarm<P2pkeAddr<UdpAddr>>;

/** Peers at IP addresses, in virtual time. */
function ipNetwork() {
  const memory = createMemoryRealm({ mtu: 1500, clock: 'virtual', netem: { latencyMs: 10 } });
  const realm = addressedRealm(memory, parseUdpAddr);
  return {
    clock: memory.clock,
    realm: memory,
    inner: (at: string) => realm.swarm(parseUdpAddr(at)),
    peer: (key: number, at: string, more: Partial<P2pkeOptions<UdpAddr>> = {}): Peer =>
      p2pke(realm.swarm(parseUdpAddr(at)), { privateKey: testKey(key), ...more }),
  };
}

describe('p2pke channels', () => {
  for (const attackers of ['one host', 'a network of hosts'] as const) {
    it(`keep places for others when ${attackers} fills them with live keys`, async () => {
      const { clock, peer } = ipNetwork();
      const limits = { maxChannels: 64, hellosPerSecond: 10_000 };
      const hub = peer(1, '198.18.0.1:1', { limits });
      const heard: string[] = [];
      hub.listen(({ src }) => void heard.push(src.id));
      const old = peer(2, '203.0.113.7:1');
      await clock.run(old.tell(hub.addr, Uint8Array.of(0)));
      await clock.advance(20_000); // quiet, and so idle

      const swarms: Peer[] = [];
      for (let i = 0; i < 80; i++) {
        const host = attackers === 'one host' ? 9 : i + 1;
        const attacker = peer(100 + i, `192.0.2.${host}:${1000 + i}`);
        swarms.push(attacker);
        await clock.run(attacker.tell(hub.addr, Uint8Array.of(1)));
        for (const live of swarms.slice(-40)) void live.tell(hub.addr, Uint8Array.of(2));
        await clock.advance(20);
      }
      assert.equal(inspect(hub).state['channels'], 64 - 8, 'the reserve is empty');

      heard.length = 0;
      for (let i = 0; i < 10; i++) {
        const newcomer = peer(300 + i, `203.0.${i}.1:1`);
        assert.equal(await clock.run(codeOf(newcomer.tell(hub.addr, Uint8Array.of(3)))), 'resolved');
        await clock.advance(100);
        assert.ok(heard.includes(idOf(300 + i)), `newcomer ${i}`);
        for (const live of swarms) void live.tell(hub.addr, Uint8Array.of(2));
        await clock.advance(50);
      }
      heard.length = 0;
      assert.equal(hub.tell(old.addr, Uint8Array.of(4)) instanceof Promise, true);
      const answered = new Promise<void>((resolve) => old.listen(() => resolve()));
      await clock.run(hub.tell(old.addr, Uint8Array.of(5)));
      await clock.run(answered);
      const dialled = peer(400, '203.0.200.1:1');
      assert.equal(await clock.run(codeOf(hub.tell(dialled.addr, Uint8Array.of(6)))), 'resolved');
      assert.ok((inspect(hub).state['channels'] as number) <= 64);
      await Promise.all([hub, old, dialled, ...swarms].map((swarm) => swarm.close()));
    });
  }

  it('of peers that have proven nothing make room before those of a busier source that have', async () => {
    const { clock, realm, peer, inner } = ipNetwork();
    const hub = peer(1, '198.18.0.1:1', { limits: { maxChannels: 16, hellosPerSecond: 10_000 } });
    let heard = 0;
    hub.listen(() => void heard++);
    const proven = Array.from({ length: 4 }, (_, i) => peer(10 + i, `203.0.113.${i}:1`));
    for (const each of proven) await clock.run(each.tell(hub.addr, Uint8Array.of(1)));
    for (let i = 0; i < 10; i++) {
      const source = inner(`192.0.${i % 5}.${i}:1`);
      await clock.run(source.tell(hub.addr.inner, helloOf(50 + i, realm.wallMs(), i)));
      await clock.advance(20);
    }
    assert.deepEqual([inspect(hub).state['channels'], inspect(hub).state['halfOpen']], [14, 10]);
    const newcomer = peer(30, '198.51.100.1:1');
    await clock.run(newcomer.tell(hub.addr, Uint8Array.of(1)));
    await clock.advance(50);
    assert.equal(inspect(hub).state['halfOpen'], 9);
    heard = 0;
    for (const each of [...proven, newcomer]) await clock.run(each.tell(hub.addr, Uint8Array.of(2)));
    await clock.advance(50);
    assert.equal(heard, 5);
    await Promise.all([hub, newcomer, ...proven].map((swarm) => swarm.close()));
  });

  it('of a source that has two make room for a newcomer where there are few in all', async () => {
    const { clock, peer } = ipNetwork();
    const hub = peer(1, '198.18.0.1:1', { limits: { maxChannels: 8, hellosPerSecond: 10_000 } });
    const heard = new Set<string>();
    hub.listen(({ src }) => void heard.add(src.id));
    const hosts = [1, 1, 2, 3, 4, 5, 6];
    const strangers = hosts.map((host, i) => peer(10 + i, `192.0.${host}.1:${1000 + i}`));
    for (const stranger of strangers) await clock.run(stranger.tell(hub.addr, Uint8Array.of(1)));
    await clock.advance(100);
    assert.deepEqual([heard.size, inspect(hub).state['channels']], [7, 7]);
    const newcomer = peer(30, '192.0.7.1:1');
    await clock.run(newcomer.tell(hub.addr, Uint8Array.of(1)));
    await clock.advance(100);
    assert.deepEqual([heard.has(idOf(30)), inspect(hub).state['channels']], [true, 7]);
    const late = peer(31, '192.0.8.1:1');
    const told = codeOf(late.tell(hub.addr, Uint8Array.of(1), { timeoutMs: 500 }));
    assert.equal(await clock.run(told), 'timeout', 'every source has one');
    await Promise.all([hub, newcomer, late, ...strangers].map((swarm) => swarm.close()));
  });

  it('of peers that were called go on when strangers fill the rest', async () => {
    const { clock, peer } = ipNetwork();
    const hub = peer(1, '198.18.0.1:1', { limits: { maxChannels: 16, hellosPerSecond: 10_000 } });
    const called = peer(2, '192.0.2.1:1');
    await clock.run(hub.tell(called.addr, Uint8Array.of(0)));
    await clock.advance(20_000);
    const strangers = Array.from({ length: 40 }, (_, i) => peer(100 + i, `192.0.2.1:${1000 + i}`));
    for (const stranger of strangers) await clock.run(stranger.tell(hub.addr, Uint8Array.of(1)));
    assert.equal(inspect(hub).state['channels'], 1 + 14);
    let heard = 0;
    hub.listen(({ src }) => void (heard += src.id === idOf(2) ? 1 : 0));
    await clock.run(called.tell(hub.addr, Uint8Array.of(2)));
    await clock.advance(100);
    assert.equal(heard, 1);
    await Promise.all([hub, called, ...strangers].map((swarm) => swarm.close()));
  });
});

describe('tells of p2pke that wait for handshakes', () => {
  it('of strangers of one source take an eighth, of all strangers a half, and the rest is for peers that are called', async () => {
    const { clock, peer } = ipNetwork();
    const limits = { maxWaitingMessages: 64, keepAliveTimeoutMs: 1000, hellosPerSecond: 10_000 };
    const hub = peer(1, '198.18.0.1:1', { limits, timeoutMs: 5000 });
    hub.listen(() => {});
    const strangers: P2pkeAddr<UdpAddr>[] = [];
    for (let i = 0; i < 20; i++) {
      const stranger = peer(10 + i, `192.0.${Math.floor(i / 2)}.${i}:1`, { limits });
      strangers.push(stranger.addr);
      await clock.run(stranger.tell(hub.addr, Uint8Array.of(1)));
      await clock.advance(50);
      await stranger.close(); // whatever is said to it waits for a handshake
    }
    await clock.advance(3000);
    const refused = new Map<string, number>();
    const told: Promise<unknown>[] = [];
    for (let round = 0; round < 10; round++) {
      for (const to of strangers) {
        told.push(
          hub.tell(to, Uint8Array.of(2)).catch((error: Error) => refused.set(error.message.replaceAll(/\d+ /g, ''), 1)),
        );
      }
    }
    await clock.advance(1);
    assert.equal(inspect(hub).state['waitingMessages'], 32);
    assert.ok([...refused.keys()].some((text) => text.includes('peers that called us, which is their share')));
    for (const to of strangers.slice(0, 2))
      told.push(hub.tell(to, Uint8Array.of(2)).catch((error: Error) => refused.set(error.message, 2)));
    const other = peer(99, '203.0.113.9:1');
    assert.equal(await clock.run(codeOf(hub.tell(other.addr, Uint8Array.of(3)))), 'resolved');
    await clock.advance(6000);
    await Promise.all(told);
    assert.deepEqual([inspect(hub).state['waitingMessages'], inspect(hub).state['waitingBytes']], [0, 0]);

    const first = strangers.filter(({ text }) => text.includes('@192.0.9.'));
    for (let i = 0; i < 20; i++)
      told.push(hub.tell(first[i % 2]!, Uint8Array.of(2)).catch((error: Error) => refused.set(error.message, 3)));
    await clock.advance(1);
    assert.equal(inspect(hub).state['waitingMessages'], 8);
    await hub.close();
    assert.equal(inspect(hub).state['waitingMessages'], 0);
    await Promise.all(told);
    await other.close();
  });
});

describe('the memory of peers', () => {
  const key = testKey(1).publicKey;
  const stamp = Uint8Array.of(1);

  it('one source with many keys does not push others out, nor those that were called', () => {
    const memory = new PeerMemory(100);
    memory.note(0, idOf(1), key, { host: '203.0.113.1', timestamp: stamp, isStranger: true });
    memory.note(0, idOf(2), key, { host: '192.0.2.1', timestamp: undefined, isStranger: false });
    for (let i = 0; i < 300; i++)
      memory.note(1, idOf(100 + i), key, { host: '192.0.2.1', timestamp: stamp, isStranger: true });
    assert.equal(memory.size, 100);
    assert.notEqual(memory.keyOf(idOf(1)), undefined);
    assert.equal(memory.wasDialled(idOf(2)), true);
    assert.equal(memory.wasDialled(idOf(399)), false);
    memory.note(2, idOf(399), key, { host: '192.0.2.1', timestamp: undefined, isStranger: true });
    assert.equal(memory.wasDialled(idOf(399)), false, 'a handshake that we made to answer it');
    memory.note(2, idOf(2), key, { host: '192.0.2.1', timestamp: stamp, isStranger: true });
    assert.equal(memory.wasDialled(idOf(2)), true, 'it calls back');
    assert.equal(memory.keyOf(idOf(100)), undefined);
    assert.notEqual(memory.keyOf(idOf(399)), undefined);
  });

  it('a timestamp stands in the way of older ones for ten minutes', () => {
    const memory = new PeerMemory(10);
    memory.note(0, idOf(1), key, { host: '192.0.2.1', timestamp: stamp, isStranger: true });
    memory.note(300_000, idOf(1), key, { host: '192.0.2.1', timestamp: undefined, isStranger: true });
    assert.equal(memory.lastTimestamp(600_000, idOf(1)), stamp);
    assert.equal(memory.lastTimestamp(600_001, idOf(1)), undefined);
    assert.equal(memory.lastTimestamp(0, idOf(2)), undefined);
  });
});
