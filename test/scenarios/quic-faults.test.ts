/** The faults of go-p2p's quicswarm (Q1 to Q6 of its weak points), each as what a user would see. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { DropReason } from '../../src/core/counters.ts';
import { inspect } from '../../src/core/inspect.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import { type MemoryAddr, type MemoryRealm, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { type QuicSwarmOptions, quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { frame, RawQuicPeer, readAll, serveAsGoP2p } from './raw-quic-peer.ts';
import { codeOf } from '../support/code-of.ts';
import { type Quic, type QuicWorld, quicWorld } from '../support/quic-world.ts';

const ALICE = 1;
const BOB = 2;
const STRANGER = 9;

/** A network of 5 ms each way, and a swarm in it. */
function world(options: Partial<QuicSwarmOptions<MemoryAddr>> = {}): QuicWorld & { readonly alice: Quic } {
  const made = quicWorld({ netem: { latencyMs: 5 } });
  return { ...made, alice: made.open(ALICE, options) };
}

const connectionsOf = (swarm: Quic): unknown => inspect(swarm).state?.['connections'];
const dropped = (swarm: Quic, reason: DropReason): number => swarm.counters.drops.get(reason) ?? 0;

/** What became of a stream that a raw peer has opened. */
const fateOf = (stream: QuicStream): unknown => [
  stream.sendState,
  stream.stopCode,
  stream.receiveState,
  stream.resetCode,
];

describe('streams that are never given back', () => {
  it('five hundred asks go to a peer that reads exactly the frame and allows a hundred streams', async () => {
    const { realm, alice, run } = world();
    const peer = new RawQuicPeer(realm, testKey(BOB), { maxBidiStreams: 100 });
    serveAsGoP2p(peer, (request) => request);
    for (let i = 0; i < 500; i += 50) {
      const requests = Array.from({ length: 50 }, (_, k) => Uint8Array.of(i >> 8, i, k));
      const answers = await run(
        Promise.all(requests.map((request) => alice.ask(peer.addr, request, { timeoutMs: 5000 }))),
      );
      assert.deepEqual(
        answers.map((answer) => [...answer]),
        requests.map((request) => [...request]),
      );
    }
    assert.equal(connectionsOf(alice), 1);
  });

  it('a thousand asks come from a peer that ends its side only after the answer', async () => {
    const { realm, alice, pass } = world();
    alice.serve(({ payload }) => payload);
    const peer = new RawQuicPeer(realm, testKey(BOB));
    const connection = await peer.connected(alice.addr.inner);
    let answered = 0;
    peer.on = (event) => {
      if (event.type !== 'readable') return;
      assert.deepEqual([...readAll(event.stream)], [0, 0, 0, 1, 7]);
      answered++;
      event.stream.finish();
    };
    for (let asked = 0; asked < 1000; asked += 50) {
      for (let i = 0; i < 50; i++) connection.open('bidi')!.write(frame(Uint8Array.of(7)));
      peer.flush();
      await pass(100);
      assert.equal(answered, asked + 50);
    }
  });
});

describe('too much', () => {
  it('a thousand tells at once to a peer that allows ten streams wait for credit, and all arrive', async () => {
    const { realm, alice, run } = world();
    const peer = new RawQuicPeer(realm, testKey(BOB), { maxUniStreams: 10 });
    const got = new Set<number>();
    peer.on = (event) => {
      if (event.type !== 'stream' && event.type !== 'readable') return;
      const [high, low] = readAll(event.stream);
      if (high !== undefined) got.add(high * 256 + low!);
    };
    await run(Promise.all(Array.from({ length: 1000 }, (_, i) => alice.tell(peer.addr, Uint8Array.of(i >> 8, i)))));
    await run(alice.drain());
    assert.equal(got.size, 1000);
  });

  it('a message that is too large is refused by the sender, and by the receiver, and never cut off', async () => {
    const { realm, alice, run, pass } = world({ maxMessageBytes: 5000 });
    alice.listen(() => assert.fail('delivered'));
    alice.serve(() => assert.fail('served'));
    const peer = new RawQuicPeer(realm, testKey(BOB));
    assert.equal(await codeOf(run(alice.tell(peer.addr, new Uint8Array(5001)))), 'mtu_exceeded');
    assert.equal(await codeOf(run(alice.ask(peer.addr, new Uint8Array(5001)))), 'mtu_exceeded');
    const connection = await peer.connected(alice.addr.inner);
    const told = connection.open('uni')!;
    told.write(new Uint8Array(900_000));
    const asked = connection.open('bidi')!;
    asked.write(frame(new Uint8Array(10), 5001));
    peer.flush();
    await pass(1000);
    assert.deepEqual(fateOf(told), ['stopped', 2, 'none', undefined]);
    readAll(asked);
    assert.deepEqual(fateOf(asked), ['stopped', 2, 'reset', 2]);
    assert.equal(dropped(alice, 'oversize'), 2);
  });
});

describe('errors that leave the peer waiting', () => {
  it('a handler that throws, and a frame that cannot be, end the stream at once, with a code', async () => {
    const { realm, alice, pass } = world();
    alice.serve(() => {
      throw new Error('broken');
    });
    const peer = new RawQuicPeer(realm, testKey(BOB));
    const connection = await peer.connected(alice.addr.inner);
    const refused = connection.open('bidi')!;
    refused.write(frame(Uint8Array.of(1)), true);
    const long = connection.open('bidi')!;
    long.write(frame(Uint8Array.of(1, 2, 3), 2), true);
    const short = connection.open('bidi')!;
    short.write(frame(Uint8Array.of(1, 2, 3), 4), true);
    peer.flush();
    await pass(100);
    for (const stream of [refused, long, short]) readAll(stream);
    assert.deepEqual(
      [refused, long, short].map(({ receiveState, resetCode }) => [receiveState, resetCode]),
      [
        ['reset', 1],
        ['reset', 4],
        ['reset', 4],
      ],
    );
  });

  it('an ask that is given up, without a deadline, is told to the peer', async () => {
    const { realm, alice, run, pass } = world();
    const peer = new RawQuicPeer(realm, testKey(BOB));
    const controller = new AbortController();
    const asked = alice.ask(peer.addr, Uint8Array.of(1), { signal: controller.signal, timeoutMs: Infinity });
    const given = asked.catch(() => 'given up');
    await pass(200);
    controller.abort();
    assert.equal(await run(given), 'given up');
    await pass(100);
    const stopped = peer.events.find((event) => event.type === 'stopped');
    assert.equal(stopped?.type === 'stopped' ? stopped.stream.stopCode : undefined, 3);
  });

  it('announced lengths cost no memory, whatever comes and however slowly', async () => {
    const { realm, alice, pass } = world();
    alice.serve(() => assert.fail('served'));
    const peer = new RawQuicPeer(realm, testKey(BOB), { sendWindowBytes: 8_000_000 });
    const connection = await peer.connected(alice.addr.inner);
    const before = process.memoryUsage().arrayBuffers;
    const streams = Array.from({ length: 200 }, () => connection.open('bidi')!);
    for (const stream of streams) stream.write(frame(new Uint8Array(0), 1_048_576));
    for (let i = 0; i < 50; i++) {
      for (const stream of streams) stream.write(Uint8Array.of(i));
      peer.flush();
      await pass(20);
    }
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 20_000_000, `${grown} bytes for ${200 * 54}`);
  });
});

describe('connections that should be gone, or should be there', () => {
  it('a peer of another key than the address says is closed, and reported as what it is', async () => {
    const { realm, alice, run, pass } = world();
    const peer = new RawQuicPeer(realm, testKey(STRANGER));
    const dst = alice.parseAddr(`${peerIdOfKey(testKey(BOB).publicKey)}@${peer.addr.inner.text}`);
    assert.equal(await codeOf(run(alice.ask(dst, Uint8Array.of(1)))), 'identity_mismatch');
    await pass(1000);
    const closed = peer.events.find((event) => event.type === 'closed');
    assert.deepEqual(closed?.type === 'closed' && [closed.closed.by, closed.closed.alert], ['peer_transport', 42]);
    assert.deepEqual([[...peer.endpoint.connections].length, connectionsOf(alice)], [0, 0]);
  });

  it('a peer that is not let in is closed, not left open', async () => {
    const { realm, alice, pass } = world({ accept: () => false });
    const peer = new RawQuicPeer(realm, testKey(STRANGER));
    const connection = peer.connect(alice.addr.inner);
    await pass(1000);
    assert.deepEqual([connection.closed?.by, connection.closed?.alert], ['peer_transport', 49]);
    assert.equal([...peer.endpoint.connections].length, 0);
  });

  it('an old connection that ends does not take the new one with it', async () => {
    const { realm, alice, run, pass } = world();
    const peer = new RawQuicPeer(realm, testKey(BOB));
    serveAsGoP2p(peer, (request) => request);
    const first = await peer.connected(alice.addr.inner);
    await pass(6000);
    const second = await peer.connected(alice.addr.inner);
    first.close();
    peer.flush();
    await pass(100);
    await run(alice.ask(peer.addr, Uint8Array.of(1)));
    assert.deepEqual([connectionsOf(alice), second.state], [1, 'open']);
    const made = peer.events.filter((event) => event.type === 'connected');
    assert.equal(made.length, 2, 'nobody has dialled again');
  });

  it('after a minute of silence the first ask goes through', async () => {
    const { realm, alice, run, pass } = world();
    const bob = quic(realm.swarm(), { privateKey: testKey(BOB) });
    bob.serve(({ payload }) => payload);
    await run(alice.ask(bob.addr, Uint8Array.of(1)));
    await pass(60_000);
    assert.equal(connectionsOf(alice), 0);
    assert.deepEqual([...(await run(alice.ask(bob.addr, Uint8Array.of(2), { timeoutMs: 1000 })))], [2]);
  });

  it('with keep-alive the connection is there after an hour', async () => {
    const { realm, alice, run, pass } = world({ keepAliveMs: 10_000 });
    const peer = new RawQuicPeer(realm, testKey(BOB));
    serveAsGoP2p(peer, (request) => request);
    await run(alice.ask(peer.addr, Uint8Array.of(1)));
    await pass(3_600_000);
    await run(alice.ask(peer.addr, Uint8Array.of(2)));
    assert.equal(peer.events.filter((event) => event.type === 'connected').length, 1);
  });

  it('a tell that is late on a connection that another has replaced still arrives, and then the connection is closed', async () => {
    const { realm, alice, run, pass } = world({ keepAliveMs: 5000 });
    const got: number[] = [];
    alice.listen(({ payload }) => void got.push(payload[0]!));
    const peer = new RawQuicPeer(realm, testKey(BOB));
    serveAsGoP2p(peer, (request) => request);
    await run(alice.ask(peer.addr, Uint8Array.of(1)));
    const [first] = peer.endpoint.connections;
    await pass(6000);
    await peer.connected(alice.addr.inner);
    await pass(20_000);
    first!.open('uni')!.write(Uint8Array.of(42), true);
    peer.flush();
    await pass(1000);
    assert.deepEqual(got, [42]);
    await pass(90_000);
    assert.deepEqual([first!.closed?.by, first!.closed?.code], ['peer', 0]);
    assert.equal(connectionsOf(alice), 1);
  });

  it('a peer that connects again and again has four connections, and the last one works', async () => {
    const { realm, alice, run, pass } = world();
    const peer = new RawQuicPeer(realm, testKey(BOB));
    serveAsGoP2p(peer, (request) => request);
    for (let i = 0; i < 20; i++) await peer.connected(alice.addr.inner);
    await pass(1000);
    assert.equal(connectionsOf(alice), 4);
    await run(alice.ask(peer.addr, Uint8Array.of(1)));
  });
});

describe('the swarm below', () => {
  it('one that carries too little is refused at once, with what helps', () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1199 });
    assert.throws(() => quic(realm.swarm(), { privateKey: testKey(ALICE) }), /1199 bytes.*wrap it in frag\(\)/);
  });

  it('one that carries exactly enough gets no datagram that is larger', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', mtu: 1200 });
    const [alice, bob] = [ALICE, BOB].map((key) =>
      quic(realm.swarm(), { privateKey: testKey(key) }),
    ) as readonly Quic[] as [Quic, Quic];
    bob.serve(({ payload }) => payload);
    const answer = await realm.clock.run(alice.ask(bob.addr, new Uint8Array(100_000)));
    assert.equal(answer.length, 100_000);
    for (const swarm of [alice, bob]) assert.deepEqual([...swarm.counters.inner!.drops], []);
  });

  it('closing ends whatever waits, at once', async () => {
    const { realm, alice, run } = world();
    const silent = realm.swarm();
    const dst = alice.parseAddr(`${peerIdOfKey(testKey(BOB).publicKey)}@${silent.addr.text}`);
    const waiting = [alice.ask(dst, Uint8Array.of(1)), alice.tell(dst, Uint8Array.of(1)), alice.lookupPublicKey(dst)];
    const codes = Promise.all(waiting.map(codeOf));
    const before = realm.nowMs();
    await run(alice.close());
    assert.deepEqual(await codes, ['closed', 'closed', 'closed']);
    assert.equal(realm.nowMs(), before);
  });
});

describe('two names for one key', () => {
  it('a key has the same PeerID on QUIC, on P2PKE, and by itself', () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const privateKey = testKey(ALICE);
    const ids = [quic(realm.swarm(), { privateKey }), p2pke(realm.swarm(), { privateKey })].map(
      (swarm) => swarm.addr.id,
    );
    assert.deepEqual(ids, [peerIdOfKey(privateKey.publicKey), peerIdOfKey(privateKey.publicKey)]);
  });
});

describe('one connection for each of the first messages', () => {
  for (const count of [5, 50]) {
    it(`${count} connections at once, with 5 asks and 5 tells on each: all are answered and delivered, and the surplus goes later`, async () => {
      const { realm, alice, run, pass } = world();
      const told = new Set<string>();
      alice.listen(({ payload }) => void told.add(payload.join()));
      // Slow: the answers are due when all connections are there.
      alice.serve(async ({ payload }) => {
        await sleep(realm, 1500);
        return payload;
      });
      const peer = new RawQuicPeer(realm, testKey(BOB));
      const connections = Array.from({ length: count }, () => peer.connect(alice.addr.inner));
      const asks: { readonly stream: QuicStream; readonly text: string }[] = [];
      peer.on = (event) => {
        if (event.type !== 'connected') return;
        const i = connections.indexOf(event.connection);
        for (let k = 0; k < 5; k++) {
          const payload = Uint8Array.of(i, k);
          const stream = event.connection.open('bidi')!;
          stream.write(frame(payload), true);
          asks.push({ stream, text: frame(payload).join() });
          event.connection.open('uni')!.write(payload, true);
        }
      };
      await pass(5000);
      assert.equal(asks.length, 5 * count);
      for (const { stream, text } of asks) assert.equal(readAll(stream).join(), text);
      assert.equal(told.size, 5 * count);
      assert.ok(connections.every(({ state }) => state === 'open'));
      assert.equal(inspect(alice).state['connections'], count);
      // Those that are idle are closed after a while, but for the few that are kept.
      for (let i = 0; i < 8; i++) {
        await pass(10_000);
        for (const connection of connections) if (connection.state === 'open') connection.ping();
        peer.flush();
      }
      assert.equal(inspect(alice).state['connections'], 4);
      assert.deepEqual(
        [dropped(alice, 'quic.too_many'), connections.filter(({ state }) => state === 'open').length],
        [0, 4],
      );
      await run(alice.close());
    });
  }

  it('beyond 128 of one peer the oldest idle one goes, and where all are in use the new one', async () => {
    const { realm, alice, pass, run } = world();
    alice.serve(() => new Promise(() => {}));
    const peer = new RawQuicPeer(realm, testKey(BOB));
    let idle: QuicConnection | undefined;
    peer.on = (event) => {
      if (event.type !== 'connected') return;
      if (idle === undefined) idle = event.connection;
      else event.connection.open('bidi')!.write(frame(Uint8Array.of(1)), true);
    };
    const connect = async (): Promise<QuicConnection> => {
      const connection = peer.connect(alice.addr.inner);
      await pass(5);
      return connection;
    };
    const open: QuicConnection[] = [];
    for (let i = 0; i < 129; i++) open.push(await connect());
    await pass(100);
    assert.deepEqual(
      open.filter(({ state }) => state === 'closed'),
      [idle],
    );
    const used = open.filter((connection) => connection !== idle);
    const late = peer.connect(alice.addr.inner);
    await pass(1000);
    assert.equal(late.state, 'closed');
    assert.ok(used.every(({ state }) => state === 'open'));
    assert.equal(dropped(alice, 'quic.too_many'), 2);
    await run(alice.close());
  });
});

/** In the realm's time. */
function sleep(realm: MemoryRealm<VirtualClock>, ms: number): Promise<void> {
  return new Promise((resolve) => realm.clock.setTimer(realm.nowMs() + ms, resolve));
}
