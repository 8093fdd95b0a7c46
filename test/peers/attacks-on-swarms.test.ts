/** Hostile peers of the swarms, and the signs of attacks that come of them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { ipOf, peerIdOf } from '../../src/core/addr.ts';
import type { Message } from '../../src/core/message.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { Network } from '../../src/net/network.ts';
import { parseUdpAddr, type UdpAddr } from '../../src/net/socket-address.ts';
import { createNode, noise, writing } from '../../src/node/index.ts';
import { type AttackEvent, AttackSignals, type AttackSignalsOptions } from '../../src/peers/attack-signals.ts';
import { addressedRealm, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { RAW_CODEC } from '../../src/swarms/tcp/raw-codec.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { frame, RawQuicPeer } from '../scenarios/raw-quic-peer.ts';
import { flatNetwork } from '../support/flat-network.ts';
import { helloOf } from '../support/p2pke-world.ts';

const MALLORY = peerIdOfKey(testKey(66).publicKey);
const EVIL = '203.0.113.66';

/** A realm in which signals are watched. */
function watched(options: Partial<AttackSignalsOptions> = {}) {
  const events: AttackEvent[] = [];
  const traced: TraceEvent[] = [];
  const signals = new AttackSignals({ onAttack: (event) => events.push(event), ...options });
  const trace = (event: TraceEvent): void => {
    traced.push(event);
    signals.trace(event);
  };
  const realm = createMemoryRealm({ clock: 'virtual', seed: 7, mtu: 1500, trace });
  const reported = (): readonly string[] =>
    events.map(({ source, signal, isProven }) => `${source} ${signal} ${isProven}`);
  return { realm, signals, events, traced, reported, run: <T>(promise: Promise<T>) => realm.clock.run(promise) };
}

/** A network whose connections send one wrong bit in everything after the first bytes. */
function garbling(network: Network, afterBytes: number): Network {
  const garble = (pieces: readonly Uint8Array[], sent: { bytes: number }): readonly Uint8Array[] =>
    pieces.map((piece) => {
      sent.bytes += piece.length;
      if (sent.bytes <= afterBytes) return piece;
      const wrong = piece.slice();
      wrong[wrong.length - 1]! ^= 1;
      return wrong;
    });
  const dial: Network['dial'] = async (options) => {
    const raw = await network.dial(options);
    const sent = { bytes: 0 };
    const pipe = new Proxy(raw.pipe, {
      get: (target, name) => {
        if (name === 'write') {
          return (pieces: readonly Uint8Array[], done: () => void): void => target.write(garble(pieces, sent), done);
        }
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
      set: (target, name, value) => Reflect.set(target, name, value),
    });
    return { ...raw, pipe };
  };
  return new Proxy(network, {
    get: (target, name) => {
      if (name === 'dial') return dial;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

function tcp(options: Partial<AttackSignalsOptions> = {}) {
  const world = watched(options);
  const network = flatNetwork({ realm: world.realm, latencyMs: 5 });
  const open = (key: number, ip: string, over: Network = network.host(ip)): Promise<TcpSwarm> => {
    const common = { security: 'noise', realm: world.realm, bind: `${ip}:4000` } as const;
    return world.run(openTcpSwarm({ privateKey: testKey(key), network: over, ...common }));
  };
  return { ...world, network, open };
}

describe('on a TCP swarm', () => {
  it('connections that send garbage are failed handshakes of their IP, and many of them are many handshakes', async () => {
    const { realm, network, open, reported, run } = tcp();
    const bob = await open(1, '203.0.113.1');
    for (let i = 0; i < 130; i++) {
      const { pipe } = await run(
        network.host(EVIL).dial({ remote: bob.addr.inner, bind: undefined, signal: new AbortController().signal }),
      );
      pipe.write([new Uint8Array(200).fill(i)], () => {});
      await realm.clock.advance(20);
      pipe.destroy();
    }
    assert.deepEqual(reported(), [`${EVIL} handshakes_failed true`, `${EVIL} handshakes true`]);
    await run(bob.close());
  });

  it('what its cipher refuses is counted for the IP', async () => {
    const { realm, network, open, reported, run } = tcp({ thresholds: { undecryptable: { count: 5, perMs: 60_000 } } });
    const bob = await open(1, '203.0.113.1');
    // Its handshake is as it should be, and everything after it is garbled.
    for (let i = 0; i < 5; i++) {
      const mallory = await open(66, EVIL, garbling(network.host(EVIL), 300));
      await run(mallory.tell(bob.addr, new Uint8Array(100)).catch(() => undefined));
      await realm.clock.advance(100);
      await run(mallory.close());
    }
    assert.ok(reported().includes(`${EVIL} undecryptable true`), String(reported()));
    await run(bob.close());
  });

  it('malformed frames of an authenticated peer are counted for its key and its IP', async () => {
    const { realm, network, open, reported, events, run } = tcp();
    const bob = await open(1, '203.0.113.1');
    const security = noise({ pattern: 'XX', privateKey: testKey(66) });
    const evil = createNode({ security, codec: RAW_CODEC, realm, network: network.host(EVIL) });
    evil.enable(writing());
    for (let i = 0; i < 10; i++) {
      const connection = await run(evil.connect(bob.addr.inner.text));
      connection.send([new Uint8Array(50).fill(255)]);
      await realm.clock.advance(100);
      await run(connection.disconnect());
    }
    const malformed = reported().filter((each) => each.includes('malformed'));
    assert.deepEqual(malformed, [`${MALLORY} malformed true`, `${EVIL} malformed true`]);
    assert.match(events[0]!.samples[0]!, /^tcp malformed: /);
    await run(Promise.all([bob.close(), evil.close()]));
  });

  it('messages faster than the rate are counted for the peer that tells them', async () => {
    const { open, signals, reported, run, realm } = tcp({ thresholds: { rate: { count: 100, perMs: 1000 } } });
    const [bob, mallory, alice] = [await open(1, '203.0.113.1'), await open(66, EVIL), await open(2, '203.0.113.2')];
    bob.listen(({ src }) => {
      signals.note(realm.nowMs(), { id: peerIdOf(src), ip: ipOf(src), signal: 'rate', isProven: true });
    });
    for (let i = 0; i < 60; i++) {
      await run(alice.tell(bob.addr, encodeText('hello')));
      for (let j = 0; j < 3; j++) await run(mallory.tell(bob.addr, encodeText('hello')));
    }
    await realm.clock.advance(100);
    assert.deepEqual(reported(), [`${MALLORY} rate true`, `${EVIL} rate true`]);
    await run(Promise.all([bob.close(), mallory.close(), alice.close()]));
  });
});

describe('on a QUIC swarm', () => {
  it('malformed messages of an authenticated peer are counted for its key', async () => {
    const { realm, reported, run } = watched();
    const bob = quic(realm.swarm(), { privateKey: testKey(1) });
    bob.serve(() => new Uint8Array(1));
    const evil = new RawQuicPeer(realm, testKey(66));
    const connection = await evil.connected(bob.addr.inner);
    for (let i = 0; i < 10; i++) {
      connection.open('bidi')!.write(frame(Uint8Array.of(1, 2, 3), 2), true);
      evil.flush();
      await realm.clock.advance(20);
    }
    assert.deepEqual(reported(), [`${MALLORY} malformed true`]);
    evil.close();
    await run(bob.close());
  });

  it('handshakes that fail are counted for their IP, which is not proven, and those that accept refuses are', async () => {
    const { realm, reported, run } = watched({ thresholds: { handshakes_failed: { count: 5, perMs: 60_000 } } });
    const bob = quic(realm.swarm(), { privateKey: testKey(1) });
    const stranger = new RawQuicPeer(realm, testKey(66), { alpn: ['other'] });
    for (let i = 0; i < 5; i++) {
      stranger.connect(bob.addr.inner);
      await realm.clock.advance(50);
    }
    const place = stranger.addr.inner.text;
    assert.deepEqual(reported(), [`${place} handshakes_failed false`]);
    const strict = quic(realm.swarm(), { privateKey: testKey(2), accept: () => false });
    const refused = new RawQuicPeer(realm, testKey(67));
    for (let i = 0; i < 5; i++) {
      refused.connect(strict.addr.inner);
      await realm.clock.advance(50);
    }
    assert.deepEqual(reported().slice(1), [`${refused.addr.inner.text} handshakes_failed true`]);
    stranger.close();
    refused.close();
    await run(Promise.all([bob.close(), strict.close()]));
  });

  it('datagrams that are not QUIC are counted for their IP', async () => {
    const { realm, reported, run } = watched();
    const net = addressedRealm(realm, parseUdpAddr);
    const bob = quic(net.swarm(parseUdpAddr('203.0.113.1:4000')), { privateKey: testKey(1) });
    const evil = net.swarm(parseUdpAddr(`${EVIL}:4000`));
    for (let i = 0; i < 10; i++) await run(evil.tell(bob.addr.inner, Uint8Array.of(1, 2, 3)));
    await realm.clock.advance(10);
    assert.deepEqual(reported(), [`${EVIL} malformed false`]);
    await run(Promise.all([bob.close(), evil.close()]));
  });
});

describe('on a p2pke swarm', () => {
  /** Bob, and what somebody without manners sends to him. */
  async function hostile(datagrams: readonly Uint8Array[]) {
    const world = watched();
    const net = addressedRealm(world.realm, parseUdpAddr);
    const bob = p2pke(net.swarm(parseUdpAddr('203.0.113.1:4000')), { privateKey: testKey(1) });
    const evil = net.swarm(parseUdpAddr(`${EVIL}:4000`));
    const heard: Message<UdpAddr>[] = [];
    evil.listen((message) => void heard.push(message));
    for (const datagram of datagrams) {
      await world.run(evil.tell(bob.addr.inner, datagram));
      await world.realm.clock.advance(1);
    }
    await world.run(Promise.all([bob.close(), evil.close()]));
    return world;
  }

  it('data that no session can open is counted for the IP, which is not proven', async () => {
    const random = createSeededRandom(1);
    const data = Array.from({ length: 120 }, (_, i) => {
      const datagram = random.bytes(80);
      new DataView(datagram.buffer).setUint32(0, 1000 + i);
      return datagram;
    });
    const { reported, events } = await hostile(data);
    assert.deepEqual(reported(), [`${EVIL} undecryptable false`]);
    assert.equal(events[0]!.samples[0], 'p2pke unknown_session');
  });

  it('datagrams that are none are counted as malformed', async () => {
    const { reported } = await hostile(Array.from({ length: 20 }, () => Uint8Array.of(1, 2)));
    assert.deepEqual(reported(), [`${EVIL} malformed false`]);
  });

  it('hellos with a wrong signature are failed handshakes', async () => {
    const hellos = Array.from({ length: 25 }, (_, i) => {
      const hello = helloOf(66, 1_700_000_000_000 + i, i).slice();
      hello[120]! ^= 1; // In the signature.
      return hello;
    });
    const { reported, traced } = await hostile(hellos);
    const reasons = new Set(traced.filter(({ type }) => type === 'dropped').map(({ reason }) => reason));
    assert.ok(reported().includes(`${EVIL} handshakes_failed false`), `${[...reasons].join()} ${reported().join()}`);
  });

  it('a flood is traced at a bounded rate for each source, and another source still is', async () => {
    const world = watched();
    const net = addressedRealm(world.realm, parseUdpAddr);
    const bob = p2pke(net.swarm(parseUdpAddr('203.0.113.1:4000')), { privateKey: testKey(1) });
    const evil = net.swarm(parseUdpAddr(`${EVIL}:4000`));
    const other = net.swarm(parseUdpAddr('198.51.100.1:4000'));
    for (let i = 0; i < 1000; i++) void evil.tell(bob.addr.inner, Uint8Array.of(1));
    void other.tell(bob.addr.inner, Uint8Array.of(1));
    await world.realm.clock.advance(1);
    const from = Map.groupBy(
      world.traced.filter(({ type }) => type === 'dropped'),
      ({ addr }) => ipOf(addr!),
    );
    assert.ok(from.get(EVIL)!.length <= 101 && from.get('198.51.100.1')?.length === 1);
    assert.ok((bob.counters.drops.get('p2pke.too_short') ?? 0) >= 200, 'all are counted');
    await world.run(Promise.all([bob.close(), evil.close(), other.close()]));
  });
});
