/**
 * Hostile peers of the TCP swarm on real sockets: each is let go with a counted reason, gets nothing delivered that it should
 * not, and costs nobody else anything.
 */

import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';

import { concatBytes, EMPTY_BYTES } from '../../src/base/bytes.ts';
import { inspect } from '../../src/core/inspect.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { encodePem } from '../../src/identity/pem.ts';
import { exportKey } from '../../src/identity/import-key.ts';
import { FrameReader } from '../../src/protocols/tcp/frame-reader.ts';
import { FrameWriter } from '../../src/protocols/tcp/frame-writer.ts';
import type { TcpFrame } from '../../src/protocols/tcp/frames.ts';
import { identityOf } from '../../src/identity/quic-identity.ts';
import { openTcpSwarm, type TcpSwarm, type TcpSwarmOptions } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { until } from './nodes.ts';

const open = (i: number, options: Partial<TcpSwarmOptions> = {}): Promise<TcpSwarm> =>
  openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i), ...options });
const bytes = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill);
const stateOf = (swarm: TcpSwarm, name: string): number => Number(inspect(swarm).state[name]);
const dropsOf = (swarm: TcpSwarm, name: string): number => inspect(swarm).counters.drops[name] ?? 0;
const refusalsOf = (swarm: TcpSwarm, name: string): number =>
  [...swarm.counters.inner!.drops].find(([reason]) => reason === `node.${name}`)?.[1] ?? 0;

/** Resolves when a socket is gone. */
const gone = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => {
    socket.on('error', () => undefined);
    if (socket.destroyed) resolve(undefined);
    else socket.once('close', resolve);
  });

/** A plain TCP connection to a swarm. */
function raw(swarm: TcpSwarm): Socket {
  const { ip, port } = swarm.addr.inner;
  const socket = connect(port, ip);
  socket.on('error', () => undefined);
  return socket;
}

const hello = (w: FrameWriter): void => w.hello([1, 16_777_216, 1_000_000, 1_000_000, 0]);
const frames = (write: (writer: FrameWriter) => void): Uint8Array => {
  const writer = new FrameWriter();
  write(writer);
  return concatBytes(...writer.take());
};

/** A peer of our own making: TLS as it should be, and then whatever the test says. */
class Mallory implements AsyncDisposable {
  readonly socket: TLSSocket;
  readonly frames: TcpFrame[] = [];
  readonly #reader = new FrameReader();

  private constructor(socket: TLSSocket, reads: boolean) {
    this.socket = socket;
    socket.on('error', () => undefined);
    if (!reads) return;
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(Uint8Array.from(chunk));
      for (let frame; (frame = this.#reader.next()) !== undefined;) if (frame !== 'malformed') this.frames.push(frame);
    });
  }

  static async connect(swarm: TcpSwarm, i: number, options: { readonly reads?: boolean } = {}): Promise<Mallory> {
    const { ip, port } = swarm.addr.inner;
    const [certificate] = identityOf(testKey(i), systemRealm).chain;
    const socket = connectTls({
      host: ip,
      port,
      cert: encodePem('CERTIFICATE', certificate!),
      key: exportKey(testKey(i), 'pem'),
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return new Mallory(socket, options.reads ?? true);
  }

  say(write: (writer: FrameWriter) => void): void {
    this.socket.write(frames(write));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }
}

/** Two honest peers that talk all the while. */
async function honest(swarm: TcpSwarm): Promise<AsyncDisposable & { check(): Promise<void> }> {
  const alice = await open(0);
  const before = await alice.ask(swarm.addr, bytes(10, 5));
  assert.deepEqual(before, bytes(10, 5));
  return {
    check: async () => assert.deepEqual(await alice.ask(swarm.addr, bytes(1000, 6)), bytes(1000, 6)),
    [Symbol.asyncDispose]: () => alice.close(),
  };
}

/** A swarm that answers and keeps what it is told. */
async function victim(
  options: Partial<TcpSwarmOptions> = {},
): Promise<{ readonly bob: TcpSwarm; readonly heard: Uint8Array[] }> {
  const bob = await open(1, options);
  const heard: Uint8Array[] = [];
  bob.listen(({ payload }) => void heard.push(payload));
  bob.serve(({ payload }) => payload);
  return { bob, heard };
}

describe('TCP swarm: hostile peers', () => {
  it('garbage in place of TLS is a refused handshake', async () => {
    const { bob, heard } = await victim();
    await using _bob = bob;
    await using others = await honest(bob);
    for (let i = 0; i < 20; i++) {
      const socket = raw(bob);
      socket.end(bytes(5000, i * 13));
      await gone(socket.resume());
    }
    await until(() => refusalsOf(bob, 'identity_mismatch') + refusalsOf(bob, 'handshake_failed') === 20);
    assert.equal(stateOf(bob, 'connecting'), 0);
    assert.equal(stateOf(bob, 'connections'), 1);
    assert.deepEqual(heard, []);
    await others.check();
  });

  it('no certificate, or one whose key is not there, is a wrong identity', async () => {
    const { bob, heard } = await victim();
    await using _bob = bob;
    await using others = await honest(bob);
    const { ip, port } = bob.addr.inner;
    const socket = connectTls({ host: ip, port, rejectUnauthorized: false, checkServerIdentity: () => undefined });
    socket.on('error', () => undefined);
    socket.write(frames((w) => (hello(w), w.tell(bytes(1)))));
    await gone(socket.resume());
    await until(() => refusalsOf(bob, 'identity_mismatch') === 1);
    assert.equal(stateOf(bob, 'connections'), 1);
    assert.deepEqual(heard, []);
    await others.check();
  });

  it('stalled handshakes, a thousand of them, hold up nobody for longer than their time', async () => {
    const { bob } = await victim({
      handshakeTimeoutMs: 300,
      maxConnecting: 2000,
      maxConnectionsPerIp: 2000,
      maxConnections: 3000,
    });
    await using _bob = bob;
    await using others = await honest(bob);
    const sockets = Array.from({ length: 1000 }, () => raw(bob).resume());
    await until(() => stateOf(bob, 'connecting') > 0);
    await others.check();
    await using newcomer = await open(3);
    assert.deepEqual(await newcomer.ask(bob.addr, bytes(4)), bytes(4));
    await Promise.all(sockets.map((socket) => gone(socket)));
    await until(() => refusalsOf(bob, 'handshake_timeout') === 1000);
    await until(() => stateOf(bob, 'connecting') === 0);
    await others.check();
  });

  it('beyond maxConnecting connections are refused at once, and counted', async () => {
    const { bob } = await victim({ maxConnecting: 5 });
    await using _bob = bob;
    await using others = await honest(bob);
    const sockets = Array.from({ length: 12 }, () => raw(bob).resume());
    await until(() => refusalsOf(bob, 'max_connecting') === 7);
    await others.check();
    for (const socket of sockets) socket.destroy();
    await until(() => stateOf(bob, 'connecting') === 0);
  });

  it('garbage, oversize lengths and broken rules in the frames end the connection, each with its reason', async () => {
    const { bob, heard } = await victim({ maxMessageBytes: 100_000 });
    await using _bob = bob;
    await using others = await honest(bob);
    const cases: readonly (readonly [string, (w: FrameWriter) => void])[] = [
      ['malformed', (w) => (hello(w), w.chunk(1, EMPTY_BYTES))],
      ['oversize', (w) => (hello(w), w.begin(1, 100_001, { type: 'tell' }))],
      ['oversize', (w) => (hello(w), w.begin(1, 2 ** 45, { type: 'request', id: 1, maxResponseBytes: 0 }))],
      ['tcp.unexpected', (w) => w.tell(bytes(3))],
      ['tcp.unexpected', (w) => (hello(w), hello(w))],
      ['tcp.over_credit', (w) => (hello(w), w.credit(1, 1))],
    ];
    for (const [i, [reason, write]] of cases.entries()) {
      const before = dropsOf(bob, reason);
      await using mallory = await Mallory.connect(bob, 10 + i);
      mallory.say(write);
      await gone(mallory.socket);
      assert.equal(dropsOf(bob, reason), before + 1, `${reason} by case ${i}`);
      assert.ok(mallory.frames.some((frame) => frame.type === 'bye' && frame.code === 3));
    }
    await using mallory = await Mallory.connect(bob, 20);
    mallory.socket.write(bytes(100_000, 0xff));
    await gone(mallory.socket);
    assert.equal(dropsOf(bob, 'malformed'), 2);
    await until(() => stateOf(bob, 'connections') === 1);
    assert.deepEqual(heard, []);
    await others.check();
  });

  it('frames that are cut off deliver nothing', async () => {
    const { bob, heard } = await victim();
    await using _bob = bob;
    for (const cut of [1, 20]) {
      await using mallory = await Mallory.connect(bob, 10);
      const whole = frames((w) => (hello(w), w.tell(bytes(40))));
      mallory.socket.end(whole.subarray(0, whole.length - cut));
      await gone(mallory.socket.resume());
    }
    await until(() => stateOf(bob, 'connections') === 0);
    assert.deepEqual(heard, []);
  });

  it('bytes that drip keep no connection: nothing is said, so it is idle', async () => {
    const { bob } = await victim({ idleTimeoutMs: 100 });
    await using _bob = bob;
    await using mallory = await Mallory.connect(bob, 10);
    mallory.say(hello);
    const whole = frames((w) => w.tell(bytes(10_000)));
    let at = 0;
    const dripping = setInterval(() => mallory.socket.write(whole.subarray(at, ++at)), 10);
    try {
      await until(() => mallory.frames.some((frame) => frame.type === 'bye' && frame.code === 1), 'it is told to go');
    } finally {
      clearInterval(dripping);
    }
  });

  it('a peer that never reads stops neither us nor others, and what waits for it is bounded', async () => {
    const { bob } = await victim({ maxQueueBytes: 1_000_000 });
    await using _bob = bob;
    await using others = await honest(bob);
    await using mallory = await Mallory.connect(bob, 10, { reads: false });
    // Requests whose answers it never takes, as many as it has credit for.
    mallory.say((w) => {
      hello(w);
      for (let id = 1; id <= 200; id++) w.message({ type: 'request', id, maxResponseBytes: 20_000 }, bytes(20_000));
    });
    await until(() => stateOf(bob, 'queuedBytes') > 0 || bob.counters.received > 100);
    for (let round = 0; round < 20; round++) await others.check();
    assert.ok(stateOf(bob, 'queuedBytes') < 30_000_000);
    mallory.socket.destroy();
    await until(() => stateOf(bob, 'connections') === 1);
    assert.equal(stateOf(bob, 'queuedBytes'), 0);
  });

  it('floods of asks are answered or refused within the budget; those of others are answered all the while', async () => {
    const bob = await open(1, { maxPendingMessages: 20 });
    await using _bob = bob;
    let pending = 0;
    let most = 0;
    let release = (): void => {};
    const stop = new Promise<void>((resolve) => {
      release = resolve;
    });
    bob.serve(async ({ payload }) => {
      if (payload.length !== 3) return payload;
      most = Math.max(most, ++pending);
      await stop;
      pending--;
      return payload;
    });
    await using others = await honest(bob);
    await using mallory = await Mallory.connect(bob, 10);
    mallory.say((w) => {
      hello(w);
      for (let id = 1; id <= 5000; id++) w.message({ type: 'request', id, maxResponseBytes: 10 }, bytes(3));
    });
    const refused = (): number =>
      mallory.frames.filter((f) => f.type === 'message' && f.head.type === 'refusal').length;
    await until(() => refused() === 4980, 'the surplus is refused');
    assert.equal(most, 20);
    assert.equal(dropsOf(bob, 'queue_full'), 4980);
    await others.check();
    release();
    await until(() => pending === 0);
  });

  it('many connections of one peer: the newest counts, the others are let go', async () => {
    const { bob } = await victim();
    await using _bob = bob;
    const mallories: Mallory[] = [];
    for (let i = 0; i < 8; i++) {
      const mallory = await Mallory.connect(bob, 10);
      mallory.say(hello);
      await until(() => mallory.frames.some(({ type }) => type === 'hello'));
      mallories.push(mallory);
    }
    await until(() => stateOf(bob, 'connections') <= 4);
    assert.ok(dropsOf(bob, 'tcp.too_many_connections') >= 4);
    assert.equal(stateOf(bob, 'peers'), 1);
    for (const mallory of mallories) mallory.socket.destroy();
    await until(() => stateOf(bob, 'connections') === 0);
  });

  it('a peer that says no hello is let go', async () => {
    const { bob } = await victim();
    await using _bob = bob;
    await using mallory = await Mallory.connect(bob, 10);
    await gone(mallory.socket);
    assert.equal(dropsOf(bob, 'tcp.no_hello'), 1);
    await until(() => stateOf(bob, 'connections') === 0);
  });

  it('our own key is not let in', async () => {
    const { bob } = await victim();
    await using _bob = bob;
    await using mallory = await Mallory.connect(bob, 1).catch(() => undefined);
    if (mallory !== undefined) await gone(mallory.socket.resume());
    await until(() => refusalsOf(bob, 'identity_mismatch') === 1);
  });
});
