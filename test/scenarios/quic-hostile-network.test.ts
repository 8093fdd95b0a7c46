/** QUIC swarms on a network that is against them: bad links, forged datagrams, and peers with a key and bad intent. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { inspect } from '../../src/core/inspect.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import { generateKey } from '../../src/identity/keys.ts';
import type { MemoryRealmOptions } from '../../src/swarms/memory/index.ts';
import { identityOf } from '../../src/identity/quic-identity.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { frame, RawQuicPeer, readAll } from './raw-quic-peer.ts';
import { type Quic, type QuicWorld, quicWorld } from '../support/quic-world.ts';

/** A network of 5 ms each way. */
const world = (options: MemoryRealmOptions = {}): QuicWorld => quicWorld({ netem: { latencyMs: 5 }, ...options });

const connectionsOf = (swarm: Quic): unknown => inspect(swarm).state?.['connections'];
const echo = ({ payload }: { readonly payload: Uint8Array }): Uint8Array => payload;

// Without it, what is measured would be what the collector has not got round to.
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/**
 * Bytes outside of the heap: the engines' memory, and every message. The collector gives buffers back on a thread of its
 * own, so one look would see what is about to go; the least of several counts.
 */
async function outsideBytes(): Promise<number> {
  let least = Infinity;
  for (let look = 0; look < 5; look++) {
    collectGarbage();
    await new Promise((resolve) => void setImmediate(resolve));
    const { arrayBuffers, external } = process.memoryUsage();
    least = Math.min(least, Math.max(arrayBuffers, external));
  }
  return least;
}

describe('a network that loses, delays, repeats, reorders, cuts off and flips', () => {
  for (const seed of [1, 2, 3]) {
    it(`delivers nothing wrong and everything in the end (seed ${seed})`, async () => {
      const { open, run } = world({
        seed,
        netem: {
          latencyMs: 300,
          jitterMs: 50,
          loss: 0.1,
          duplicate: 0.05,
          reorder: 0.05,
          corrupt: 0.05,
          truncate: 0.05,
        },
      });
      const [alice, bob] = [open(1), open(2)];
      const random = createSeededRandom(seed);
      const messages = Array.from({ length: 40 }, (_, i) => {
        const message = new Uint8Array(2 + Math.floor(random.next() ** 4 * 100_000)).fill(i);
        message[1] = message.length & 255;
        return message;
      });
      const told: Uint8Array[] = [];
      bob.listen(({ payload }) => void told.push(payload));
      bob.serve(echo);
      const patience = { timeoutMs: 600_000 };
      const asked = messages.map((message) => alice.ask(bob.addr, message, patience));
      const sent = messages.map((message) => alice.tell(bob.addr, message, patience));
      assert.deepEqual(await run(Promise.all(asked)), messages);
      await run(Promise.all(sent));
      await run(alice.drain(patience));
      assert.deepEqual(
        told.toSorted((a, b) => a[0]! - b[0]!),
        messages,
      );
    });
  }
});

describe('those who are not who they seem', () => {
  it('a flood of first packets from a thousand addresses costs bounded memory, and honest peers are served', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1);
    alice.serve(echo);
    const forger = new RawQuicPeer(realm, testKey(9));
    const initials: Uint8Array[] = [];
    const nowhere = realm.swarm();
    nowhere.listen(({ payload }) => void initials.push(payload));
    for (let i = 0; i < 300; i++) forger.connect(nowhere.addr);
    await pass(100);
    forger.close();
    const first = initials.filter((bytes) => bytes.length >= 1200);
    assert.ok(first.length >= 300);
    const sources = Array.from({ length: 1000 }, () => realm.swarm());
    const before = await outsideBytes();
    const bob = open(2);
    for (let wave = 0; wave < 5; wave++) {
      for (const [i, source] of sources.entries()) {
        void source.tell(alice.addr.inner, first[(i + wave * 7) % 300]!);
      }
      assert.deepEqual([...(await run(bob.ask(alice.addr, Uint8Array.of(wave), { timeoutMs: 5000 })))], [wave]);
      await pass(50);
    }
    const grown = (await outsideBytes()) - before;
    assert.ok(grown < 64_000_000, `${grown} bytes`);
    assert.ok((alice.counters.drops.get('quic.retried') ?? 0) > 1000);
    await pass(20_000);
    assert.equal(connectionsOf(alice), 1);
  });

  it('chains that are giant, and keys that cannot be read, are turned away, and honest peers are served', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1);
    alice.serve(echo);
    const bob = open(2);
    const { chain, privateKey } = identityOf(testKey(3), realm);
    const giant = new RawQuicPeer(realm, testKey(3), {
      identity: { chain: [chain[0]!, ...Array.from({ length: 15 }, () => new Uint8Array(12_000))], privateKey },
    });
    const connection = giant.connect(alice.addr.inner);
    assert.deepEqual([...(await run(bob.ask(alice.addr, Uint8Array.of(1))))], [1]);
    await pass(20_000);
    assert.equal(connection.state, 'closed');
    // The engine judges what it can read; what follows the first certificate of a chain is nobody's key.
    const long = new RawQuicPeer(realm, testKey(4), {
      identity: {
        ...identityOf(testKey(4), realm),
        chain: [identityOf(testKey(4), realm).chain[0]!, new Uint8Array(2000)],
      },
    });
    const other = long.connect(alice.addr.inner);
    await pass(1000);
    assert.notEqual(other.state, 'handshake');
    assert.deepEqual([...(await run(bob.ask(alice.addr, Uint8Array.of(2))))], [2]);
  });
});

describe('peers with a key and bad intent', () => {
  it('streams opened, begun and reset without end leave nothing behind, and others are served', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1);
    alice.serve(echo);
    alice.listen(() => {});
    const bob = open(2);
    const bad = new RawQuicPeer(realm, testKey(9));
    const connection = await bad.connected(alice.addr.inner);
    await run(bob.ask(alice.addr, Uint8Array.of(0)));
    let before = 0;
    let streams = 0;
    for (let round = 0; round < 100; round++) {
      for (const kind of ['bidi', 'uni'] as const) {
        for (let stream: QuicStream | undefined; (stream = connection.open(kind)) !== undefined; streams++) {
          stream.write(new Uint8Array(1000));
          if (streams % 3 === 0) bad.flush();
          stream.reset(0);
          if (kind === 'bidi') stream.stop(0);
        }
      }
      bad.flush();
      await pass(20);
      if (round === 50) before = await outsideBytes();
      if (round % 25 === 0) await run(bob.ask(alice.addr, Uint8Array.of(1), { timeoutMs: 1000 }));
    }
    assert.ok(streams > 10_000, `${streams}`);
    const grown = (await outsideBytes()) - before;
    assert.ok(grown < 2_000_000, `${grown} bytes`);
  });

  it('a peer that asks for much and never reads is not answered on and on', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1);
    let served = 0;
    alice.serve(() => {
      served++;
      return new Uint8Array(1_000_000);
    });
    const bad = new RawQuicPeer(realm, testKey(9));
    const connection = await bad.connected(alice.addr.inner);
    const asked = Array.from({ length: 50 }, () => connection.open('bidi')!);
    for (const stream of asked) stream.write(frame(Uint8Array.of(1)), true);
    bad.flush();
    await pass(10_000);
    assert.ok(served <= 10, `${served} answers of a megabyte are in memory`);
    const bob = open(2);
    assert.equal((await run(bob.ask(alice.addr, Uint8Array.of(1)))).length, 1_000_000);
    // Once it reads, it gets everything.
    const got = new Map<QuicStream, number>();
    bad.on = (event) => {
      if (event.type !== 'readable') return;
      for (let bytes; (bytes = event.stream.read()) !== undefined;) {
        got.set(event.stream, (got.get(event.stream) ?? 0) + bytes.length);
      }
    };
    for (const stream of asked) bad.on({ type: 'readable', stream });
    bad.flush();
    await pass(20_000);
    assert.deepEqual([...new Set(got.values())], [1_000_004]);
    assert.equal(got.size, 50);
  });

  it('messages that never end are held within bounds, and others are served', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1);
    alice.serve(echo);
    alice.listen(() => assert.fail('delivered'));
    const bad = new RawQuicPeer(realm, testKey(9));
    const connection = await bad.connected(alice.addr.inner);
    const before = await outsideBytes();
    const written = new Map<QuicStream, number>();
    const fill = (stream: QuicStream): void => {
      for (let taken = 1; taken > 0 && written.get(stream)! < 1_000_000;) {
        taken = stream.write(new Uint8Array(50_000));
        written.set(stream, written.get(stream)! + taken);
      }
    };
    bad.on = (event) => {
      if (event.type === 'writable') fill(event.stream);
    };
    for (let i = 0; i < 90; i++) {
      const stream = connection.open('uni')!;
      written.set(stream, 0);
      fill(stream);
    }
    bad.flush();
    await pass(10_000);
    const grown = (await outsideBytes()) - before;
    assert.ok(grown < 40_000_000, `${grown} bytes`);
    const bob = open(2);
    assert.deepEqual([...(await run(bob.ask(alice.addr, Uint8Array.of(5))))], [5]);
  });

  it('a peer that moves to a new connection id again and again is followed, and its asks are answered', async () => {
    const { realm, open, pass } = world();
    const alice = open(1);
    alice.serve(echo);
    const peer = new RawQuicPeer(realm, testKey(9));
    const connection = await peer.connected(alice.addr.inner);
    let answered = 0;
    peer.on = (event) => {
      if (event.type === 'readable' && readAll(event.stream).length === 5) answered++;
    };
    for (let i = 0; i < 100; i++) {
      connection.rebind();
      connection.open('bidi')!.write(frame(Uint8Array.of(i)), true);
      peer.flush();
      await pass(200);
    }
    assert.deepEqual([answered, connectionsOf(alice)], [100, 1]);
  });

  for (const seed of [1, 2, 3, 4]) {
    it(`frames of every kind of wrongness are counted or refused, never delivered wrong (seed ${seed})`, async () => {
      const { realm, open, run, pass } = world({ seed });
      const random = createSeededRandom(seed);
      const int = (n: number): number => Math.floor(random.next() * n);
      const alice = open(1, { maxMessageBytes: 3000 });
      /** By the number in the first two bytes: how long the message is, if it may be delivered at all. */
      const lengths = new Map<number, number>();
      let got = 0;
      const check = (payload: Uint8Array): void => {
        got++;
        assert.ok(payload.length <= 3000);
        if (payload.length > 1) assert.equal(payload.length, lengths.get(payload[0]! * 256 + payload[1]!));
      };
      alice.serve(({ payload }) => {
        check(payload);
        return payload;
      });
      alice.listen(({ payload }) => check(payload));
      const bad = new RawQuicPeer(realm, testKey(9));
      const connection = await bad.connected(alice.addr.inner);
      bad.on = (event) => void (event.type === 'readable' && readAll(event.stream));
      let right = 0;
      for (let i = 0; i < 400; i++) {
        const kind = int(2) === 0 ? 'uni' : 'bidi';
        const stream = connection.open(kind);
        if (stream === undefined) {
          await pass(200);
          continue;
        }
        const length = int(4000);
        const payload = new Uint8Array(length);
        payload.set([i >> 8, i].slice(0, length));
        const lie = int(3) === 0 ? [0, length + 1, length - 1, 2 ** 32 - 1, 3001, int(5000)][int(6)]! : length;
        const announced = Math.max(lie, 0);
        const bytes = kind === 'uni' ? payload : frame(payload, announced);
        const ending = int(4);
        const sound = length <= 3000 && (kind === 'uni' ? ending !== 0 && length > 0 : announced === length);
        if (sound) lengths.set(i, length);
        if (sound && ending !== 0) right++;
        for (let at = 0; at < bytes.length;) {
          const part = 1 + int(bytes.length);
          const last = at + part >= bytes.length;
          stream.write(bytes.subarray(at, at + part), last && ending !== 0);
          at += part;
          if (int(4) === 0) {
            bad.flush();
            await pass(int(30));
          }
        }
        if (ending === 0) stream.reset(int(10));
        bad.flush();
      }
      await pass(60_000);
      // Requests that were reset may have been complete before that.
      assert.ok(got >= right && got <= lengths.size + 5, `${got} of ${right} to ${lengths.size}`);
      assert.equal(alice.counters.drops.get('handler_error'), undefined);
      const bob = open(2);
      await run(bob.ask(alice.addr, new Uint8Array(1)));
    });
  }
});

describe('many come and go', () => {
  it('a thousand connections to one swarm, closed in any order, give their memory back', async () => {
    const { realm, open, run, pass } = world();
    const alice = open(1, { idleTimeoutMs: 5000 });
    alice.serve(echo);
    const random = createSeededRandom(5);
    const after: number[] = [];
    for (let round = 0; round < 20; round++) {
      const peers = Array.from({ length: 50 }, () =>
        quic(realm.swarm(), { privateKey: generateKey({ random: (n) => realm.random(n) }) }),
      );
      await run(Promise.all(peers.map((peer) => peer.ask(alice.addr, Uint8Array.of(1)))));
      assert.equal(connectionsOf(alice), 50);
      while (peers.length > 0) await run(peers.splice(Math.floor(random.next() * peers.length), 1)[0]!.close());
      await pass(10_000);
      assert.equal(connectionsOf(alice), 0);
      after.push(Number(inspect(alice).state['engineBytes']));
    }
    // Free memory in pieces may cost a page more now and then; what is not freed would cost some with every round.
    assert.ok(after.at(-1)! <= after[1]! * 1.05, `the engine went on growing: ${after.join(' ')}`);
  });
});
