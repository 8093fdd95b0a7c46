import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { concatBytes, fromHex } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { endpoint } from '../../src/endpoint/index.ts';
import { rejection } from '../../src/runtime/promises.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import { encodeBytes, encodeParts, PREFACE } from '../../src/protocols/endpoint/frame.ts';
import type { QuicConnection } from '../../src/protocols/quic/connection.ts';
import type { QuicStream } from '../../src/protocols/quic/stream.ts';
import type { Inspection } from '../../src/core/inspect.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { RawQuicPeer } from '../scenarios/raw-quic-peer.ts';
import {
  bytes,
  drops,
  errorOf,
  nowhere,
  take,
  type Qp2pTestEndpoint,
  type TestEndpoint,
  type TestOptions,
  type World,
  world,
} from '../support/endpoint-world.ts';

/** A peer that sends what it likes, and its connection to an endpoint. */
interface Mallory<E> {
  readonly raw: RawQuicPeer;
  readonly bob: E;
  readonly connection: QuicConnection;
}

async function malloryAt<E extends TestEndpoint | Qp2pTestEndpoint>(
  w: World,
  bob: E,
  alpn: string[],
): Promise<Mallory<E>> {
  const raw = new RawQuicPeer(w.realm, testKey(66), { alpn });
  const connection = await raw.connected(bob.addr);
  await w.pass(10);
  return { raw, bob, connection };
}

const mallory = (w: World, options: TestOptions = {}): Promise<Mallory<TestEndpoint>> =>
  malloryAt(w, w.open(options), ['shoal-endpoint/1']);
const qp2pMallory = (w: World): Promise<Mallory<Qp2pTestEndpoint>> => malloryAt(w, w.openQp2p(), []);

const send = (raw: RawQuicPeer, connection: QuicConnection, payload: Uint8Array, end = true): QuicStream => {
  const stream = connection.open('uni')!;
  stream.write(payload, end);
  raw.flush();
  return stream;
};
const message = (payload: Uint8Array): Uint8Array => concatBytes(...encodeBytes(payload, PREFACE.MESSAGES));
const none = new Uint8Array(0);
const qp2pMessage = (payload: Uint8Array): Uint8Array =>
  concatBytes(...encodeParts({ header: none, dst: none, payload }));
const heldBytes = (of: object): number => {
  const described = 'describe' in of && typeof of.describe === 'function' ? of.describe() : undefined;
  return (described as Inspection | undefined)?.state['heldBytes'] as number;
};

/** The connection lives: a good message arrives on it. */
async function lives(
  w: World,
  bob: TestEndpoint | Qp2pTestEndpoint,
  raw: RawQuicPeer,
  connection: QuicConnection,
): Promise<void> {
  send(raw, connection, (connection.alpn === undefined ? qp2pMessage : message)(bytes('good')));
  const { value: got } = await w.run<{ readonly value: { readonly payload: Uint8Array } | undefined }>(
    bob.messages().next(),
  );
  assert.equal(got?.payload.length, 4);
  assert.equal(connection.state, 'open');
}

describe('endpoint: bad input', () => {
  const bad: readonly [string, string, number, string][] = [
    ['an unknown version', '2100000161', 5, 'version'],
    ['a kind of stream that does not exist', '1300', 5, 'version'],
    ['4 GiB announced', '11ffffffff0f', 2, 'oversize'],
    ['a length beyond 32 bits', '11ffffffff1f', 4, 'malformed'],
    ['a length that does not end', '11ffffffffffff', 4, 'malformed'],
    ['a length in a longer form than needed', '118000', 4, 'malformed'],
  ];
  for (const [what, hex, code, drop] of bad) {
    it(`${what}: the stream is stopped with ${code}, and the connection lives`, async () => {
      const w = world();
      const { raw, bob, connection } = await mallory(w);
      const stream = send(raw, connection, fromHex(hex), false);
      await w.pass(10);
      assert.deepEqual([stream.sendState, stream.stopCode], ['stopped', code]);
      assert.equal(drops(bob, `endpoint.${drop}`), 1);
      assert.equal(heldBytes(bob), 0);
      await lives(w, bob, raw, connection);
    });
  }

  it('the end within a message is malformed, and counted', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w);
    send(raw, connection, message(new Uint8Array(100)).subarray(0, 50));
    send(raw, connection, fromHex('11'));
    send(raw, connection, new Uint8Array(0));
    await w.pass(10);
    assert.equal(drops(bob, 'endpoint.malformed'), 1);
    await lives(w, bob, raw, connection);
  });

  const qp2pBad: readonly [string, string, number, string][] = [
    ['another version', '000300000000000000000000000100006161', 5, 'version'],
    ['4 GiB announced', '0002000000000000000000ffffffff0000', 4, 'malformed'],
    ['4 GiB announced in its place', '00020000000000000000ffffffff0000', 2, 'oversize'],
    ['three parts of 4 GiB', '0002ffffffffffffffffffffffff0000', 2, 'oversize'],
    ['what 0.34 has at offset 14', '000200000000000000000000000101006161', 4, 'malformed'],
    ['an empty payload', '00020000000100000000000000000000ff', 4, 'empty_payload'],
    ['more than announced', '00020000000000000000000000010000ffff', 4, 'malformed'],
  ];
  for (const [what, hex, code, drop] of qp2pBad) {
    it(`qp2p's framing, ${what}: the stream is stopped with ${code}, and the connection lives`, async () => {
      const w = world();
      const { raw, bob, connection } = await qp2pMallory(w);
      const stream = send(raw, connection, fromHex(hex), false);
      await w.pass(10);
      assert.deepEqual([stream.sendState, stream.stopCode], ['stopped', code]);
      assert.equal(drops(bob, `endpoint.${drop}`), 1);
      await lives(w, bob, raw, connection);
    });
  }

  it("qp2p's framing: fewer bytes than announced are malformed", async () => {
    const w = world();
    const { raw, bob, connection } = await qp2pMallory(w);
    send(raw, connection, qp2pMessage(new Uint8Array(100)).subarray(0, 50));
    await w.pass(10);
    assert.equal(drops(bob, 'endpoint.malformed'), 1);
    await lives(w, bob, raw, connection);
  });

  it('a message over the limit is stopped before its bytes are kept', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, { maxMessageBytes: 1000 });
    const stream = send(raw, connection, message(new Uint8Array(1001)));
    await w.pass(10);
    assert.equal(stream.stopCode ?? 2, 2);
    assert.equal(drops(bob, 'endpoint.oversize'), 1);
    assert.equal(heldBytes(bob), 0);
    await lives(w, bob, raw, connection);
  });

  it('three parts that are over the limit together are stopped before their bytes are kept', async () => {
    const w = world();
    const { raw, bob, connection } = await malloryAt(w, w.openQp2p({ maxMessageBytes: 1000 }), []);
    for (const [header, dst, payload] of [
      [1000, 0, 1],
      [500, 400, 101],
    ] as const) {
      const parts = { header: new Uint8Array(header), dst: new Uint8Array(dst), payload: new Uint8Array(payload) };
      const stream = send(raw, connection, concatBytes(...encodeParts(parts)));
      await w.pass(10);
      assert.equal(stream.stopCode ?? 2, 2);
    }
    assert.equal(drops(bob, 'endpoint.oversize'), 2);
    assert.equal(heldBytes(bob), 0);
    await lives(w, bob, raw, connection);
  });

  it('streams that never finish are reset with 6 after the deadline, and hold bounded memory until then', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, {
      maxMessageBytes: 100_000,
      maxConnectionBytes: 200_000,
      streamTimeoutMs: 5000,
      keepAliveMs: 1000,
    });
    const streams = Array.from({ length: 50 }, () =>
      send(raw, connection, message(new Uint8Array(90_000)).subarray(0, 80_000), false),
    );
    await w.pass(1000);
    // The limit, one message more, and 4 KiB for each of the others.
    assert.ok(heldBytes(bob) <= 200_000 + 100_000 + 50 * 4097, `${heldBytes(bob)} bytes are held`);
    assert.ok(streams.every(({ sendState }) => sendState === 'open'));
    await lives(w, bob, raw, connection);
    await w.pass(200_000);
    assert.ok(
      streams.every(({ stopCode }) => stopCode === 6),
      streams.map(({ stopCode }) => stopCode).join(),
    );
    assert.equal(heldBytes(bob), 0);
    await lives(w, bob, raw, connection);
  });

  it('a stream that drips a byte now and then is reset too; one that moves is not', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, { streamTimeoutMs: 4000 });
    const slow = send(raw, connection, message(new Uint8Array(1000)).subarray(0, 10), false);
    const large = message(new Uint8Array(1_000_000));
    const moving = connection.open('uni')!;
    for (let i = 0; i < 10; i++) {
      slow.write(Uint8Array.of(0));
      moving.write(large.subarray(i * 100_000, (i + 1) * 100_000));
      raw.flush();
      await w.pass(1500);
    }
    assert.equal(slow.stopCode, 6);
    moving.write(large.subarray(1_000_000), true);
    raw.flush();
    const [got] = await w.run(take(bob.messages(), 1));
    assert.equal(got?.payload.length, 1_000_000);
  });

  it('a stream may rest between messages, and before its first byte', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, { streamTimeoutMs: 2000, keepAliveMs: 500 });
    // The last of them opens the others, too, as far as the receiver can see.
    const streams = Array.from({ length: 10 }, () => connection.open('uni')!);
    const [first] = streams;
    streams.at(-1)!.write(message(bytes('last')));
    raw.flush();
    await w.pass(30_000);
    first!.write(message(bytes('first')), true);
    streams.at(-1)!.write(message(bytes('last')).subarray(1), true);
    raw.flush();
    assert.equal((await w.run(take(bob.messages(), 3))).length, 3);
    assert.deepEqual(
      streams.map(({ stopCode }) => stopCode),
      streams.map(() => undefined),
    );
  });

  it('a stream of bytes that is not taken is reset after the deadline', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, { streamTimeoutMs: 4000 });
    const stream = send(raw, connection, Uint8Array.of(PREFACE.BYTES, 1, 2, 3), false);
    await w.pass(10_000);
    assert.equal(stream.stopCode, 6);
    await lives(w, bob, raw, connection);
  });

  it('ten thousand streams opened and reset leave nothing behind', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w);
    let opened = 0;
    for (let round = 0; opened < 10_000 && round < 2000; round++) {
      for (let stream; (stream = connection.open(round % 2 === 0 ? 'uni' : 'bidi')) !== undefined; opened++) {
        if (opened % 3 !== 0) stream.write(fromHex('110000ffff03aabb'));
        stream.reset(opened % 10);
      }
      raw.flush();
      await w.pass(5);
    }
    assert.ok(opened >= 10_000, `${opened} streams`);
    assert.equal(heldBytes(bob), 0);
    const [there] = bob.openConnections();
    assert.equal(there?.closeReason, undefined);
    await lives(w, bob, raw, connection);
  });

  it('unread messages stop the peer at the limits, and take no more memory', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w, { maxPendingMessages: 10, maxUniStreams: 20 });
    let sent = 0;
    for (let round = 0; round < 50; round++) {
      for (let stream; (stream = connection.open('uni')) !== undefined; sent++)
        stream.write(message(bytes('spam')), true);
      raw.flush();
      await w.pass(5);
    }
    assert.ok(sent <= 30 + 1, `${sent} messages were let in`);
    assert.ok(heldBytes(bob) <= 10 * 4);
    const all = await w.run(take(bob.messages(), sent));
    assert.equal(all.length, sent);
  });

  it('many peers with unfinished messages share the memory of the endpoint', async () => {
    const w = world();
    const bob = w.open({ maxMessageBytes: 50_000, maxEndpointBytes: 200_000, streamTimeoutMs: 3000, keepAliveMs: 500 });
    const peers = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const raw = new RawQuicPeer(w.realm, testKey(70 + i), { alpn: ['shoal-endpoint/1'] });
        const connection = raw.connect(bob.addr);
        return { raw, connection };
      }),
    );
    await w.pass(50);
    for (const { raw, connection } of peers) {
      for (let i = 0; i < 5; i++) send(raw, connection, message(new Uint8Array(50_000)).subarray(0, 49_000), false);
    }
    await w.pass(200);
    assert.ok(
      heldBytes(bob) > 100_000 && heldBytes(bob) <= 200_000 + 50_000 + 50 * 4097,
      `${heldBytes(bob)} bytes are held`,
    );
    await w.pass(120_000);
    assert.equal(heldBytes(bob), 0, 'every one of them came to its turn and was given up');
    const good = w.open();
    const connection = await w.run(good.connect(bob.addr));
    await w.run(connection.send(new Uint8Array(50_000), { acked: true }));
    assert.equal((await w.run(take(bob.messages(), 1)))[0]?.payload.length, 50_000);
  });

  it('port 0 and addresses of no host are errors at once, and so is what the swarm below cannot send to', async () => {
    const w = world();
    const inner = w.realm.swarm();
    const refusing = new Proxy(inner, {
      get: (target, name) => {
        if (name === 'tell') return () => rejection(new P2PError('unreachable', 'local', 'Cannot tell: no route'));
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const alice = endpoint(refusing, { privateKey: testKey(1) });
    const error = await w.run(errorOf(alice.connect(nowhere(w))));
    assert.deepEqual([error.code, error.side, error.sent, w.realm.nowMs()], ['unreachable', 'local', 'no', 0]);
    assert.match(String(error.cause), /no route/);
    const addr = (text: string, ip: string, port: number): MemoryAddr =>
      ({ ...nowhere(w), text, ip, port, toString: () => text }) as MemoryAddr;
    for (const unroutable of [
      addr('1.2.3.4:0', '1.2.3.4', 0),
      addr('0.0.0.0:9', '0.0.0.0', 9),
      addr('[::]:9', '::', 9),
      addr('224.0.0.1:9', '224.0.0.1', 9),
      addr('255.255.255.255:9', '255.255.255.255', 9),
      addr('[ff02::1]:9', 'ff02::1', 9),
    ]) {
      const refused = await w.run(errorOf(alice.connect(unroutable)));
      assert.deepEqual([refused.code, refused.sent, w.realm.nowMs()], ['unreachable', 'no', 0], unroutable.text);
    }
    assert.equal((await w.run(errorOf(alice.connect('127.0.0.1:0')))).code, 'unreachable');
    assert.throws(() => alice.connectToAny([]), RangeError);
  });

  it('a responder that sends no welcome does not hold a call for ever', async () => {
    const w = world();
    const alice = w.open();
    const raw = new RawQuicPeer(w.realm, testKey(66), { alpn: ['shoal-endpoint/1'] });
    const error = await w.run(errorOf(alice.connect(raw.addr.inner, { timeoutMs: 1000 })));
    assert.deepEqual([error.code, error.sent], ['timeout', 'no']);
    assert.equal(alice.openConnections().length, 0);
  });

  it('an initiator that sends a welcome is closed', async () => {
    const w = world();
    const { raw, connection } = await mallory(w);
    send(raw, connection, Uint8Array.of(PREFACE.WELCOME));
    await w.pass(10);
    assert.deepEqual([connection.closed?.by, connection.closed?.code], ['peer', 4]);
  });

  it('noise on the port is counted and changes nothing', async () => {
    const w = world();
    const { raw, bob, connection } = await mallory(w);
    const noise = w.realm.swarm();
    for (let i = 0; i < 256; i++) await noise.tell(bob.addr, new Uint8Array(1 + (i % 100)).fill(i));
    await w.pass(10);
    assert.ok(drops(bob, 'endpoint.not_quic') > 0);
    await lives(w, bob, raw, connection);
  });
});
