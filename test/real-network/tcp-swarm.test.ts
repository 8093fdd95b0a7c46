/** The TCP swarm on real sockets: who is connected to whom, for how long, and what arrives. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { P2PError, Refusal } from '../../src/core/errors.ts';
import { comparePeerIds } from '../../src/core/peer-id.ts';
import type { TraceEvent } from '../../src/core/realm.ts';
import { systemRealm, withTrace } from '../../src/runtime/system-realm.ts';
import { generateKey, peerIdOfKey } from '../../src/identity/keys.ts';
import { type TcpAddr, type TcpSwarm, type TcpSwarmOptions, openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { until } from './nodes.ts';

const MIB = 1_048_576;

const open = (i: number, options: Partial<TcpSwarmOptions> = {}): Promise<TcpSwarm> =>
  openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i), ...options });
const connections = (swarm: TcpSwarm): number => Number(inspect(swarm).state['connections']);
const made = (swarm: TcpSwarm): number => Number(inspect(swarm).state['peers']);
const bytes = (length: number, fill = 1): Uint8Array => new Uint8Array(length).fill(fill);

async function failureOf(promise: Promise<unknown>): Promise<P2PError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(P2PError.is(error), String(error));
  return error;
}

describe('openTcpSwarm', () => {
  it('tells and asks of all sizes, both ways, over one connection, whoever dialled', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    alice.serve(({ payload }) => payload);
    bob.serve(({ payload }) => payload);
    const heard: number[] = [];
    bob.listen(({ payload }) => void heard.push(payload.length));
    const sizes = [0, 1, 100, 32_768, 32_769, 5 * MIB, 16 * MIB];
    for (const size of sizes) {
      await alice.tell(bob.addr, bytes(size));
      assert.deepEqual(await bob.ask(alice.addr, bytes(size, 7)), bytes(size, 7));
    }
    await alice.drain();
    assert.deepEqual(heard, sizes);
    assert.deepEqual([connections(alice), connections(bob)], [1, 1]);
  });

  it('tells that a program awaits one by one leave together', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    bob.serve(({ payload }) => payload);
    bob.listen(() => {});
    await alice.ask(bob.addr, bytes(1));
    await alice.drain();
    const batches = (): number => alice.counters.inner!.sent;
    const before = batches();
    for (let i = 0; i < 1000; i++) await alice.tell(bob.addr, bytes(10));
    await alice.drain();
    assert.ok(batches() - before < 50, `${batches() - before} batches`);
  });

  it('the source of a message is where its sender listens, not the port it dialled from', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    const sources: TcpAddr[] = [];
    bob.serve(({ src, payload }) => {
      sources.push(src);
      return payload;
    });
    await alice.ask(bob.addr, bytes(1));
    assert.equal(sources[0]!.text, alice.addr.text);
    // It can be dialled by somebody else, and the same key is met there.
    await using carol = await open(2);
    alice.serve(({ payload }) => payload);
    await carol.ask(carol.parseAddr(sources[0]!.text), bytes(1));
    assert.equal(carol.knownPublicKey(sources[0]!)?.spki, carol.knownPublicKey(alice.addr)?.spki);
  });

  it('listens on IPv6, and on all addresses at once', async () => {
    for (const bind of ['[::1]:0', '0.0.0.0:0']) {
      await using alice = await open(0, { bind });
      await using bob = await open(1, { bind });
      const sources: string[] = [];
      bob.serve(({ src, payload }) => {
        sources.push(src.text);
        return payload;
      });
      const near = bob.localAddrs().find(({ inner }) => ['127.0.0.1', '::1'].includes(inner.ip));
      await alice.ask(near!, bytes(1));
      assert.ok(alice.localAddrs().some(({ text }) => text === sources[0]));
    }
  });

  it('an announced port where another key answers is found out when it is used', async () => {
    await using alice = await open(0);
    await using mallory = await open(1);
    const claimed = mallory.parseAddr(`${peerIdOfKey(testKey(9).publicKey)}@${alice.addr.inner.text}`);
    const error = await failureOf(mallory.ask(claimed, bytes(1)));
    assert.deepEqual([error.code, error.sent], ['identity_mismatch', 'no']);
    assert.match(error.message, new RegExp(peerIdOfKey(testKey(0).publicKey)));
    // Also when the address is our own, or one where we are connected already.
    const own = mallory.parseAddr(`${peerIdOfKey(testKey(9).publicKey)}@${mallory.addr.inner.text}`);
    assert.equal((await failureOf(mallory.tell(own, bytes(1)))).code, 'identity_mismatch');
    alice.serve(() => bytes(0));
    await mallory.ask(alice.addr, bytes(1));
    assert.equal((await failureOf(mallory.tell(claimed, bytes(1)))).code, 'identity_mismatch');
  });

  it('two that dial each other at once keep the same one connection, and lose nothing', async () => {
    for (let round = 0; round < 10; round++) {
      const keys = [generateKey(), generateKey()] as const;
      await using alice = await open(0, { privateKey: keys[0] });
      await using bob = await open(1, { privateKey: keys[1] });
      const heard: [number, number] = [0, 0];
      alice.listen(() => void heard[0]++);
      bob.listen(() => void heard[1]++);
      const tells: Promise<void>[] = [];
      for (let i = 0; i < 50; i++) {
        tells.push(alice.tell(bob.addr, bytes(100)), bob.tell(alice.addr, bytes(100)));
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await Promise.all(tells);
      await until(() => heard[0] === 50 && heard[1] === 50, 'all tells have come');
      await until(() => connections(alice) === 1 && connections(bob) === 1, 'one connection is left');
      assert.deepEqual([made(alice), made(bob)], [1, 1]);
    }
  });

  it('of two connections dialled at once the one of the smaller PeerID is kept', async () => {
    const events: TraceEvent[] = [];
    const realm = withTrace(systemRealm, (event) => void events.push(event));
    const [small, large] = [testKey(0), testKey(1)].toSorted((a, b) =>
      comparePeerIds(peerIdOfKey(a.publicKey), peerIdOfKey(b.publicKey)),
    );
    await using alice = await open(0, { privateKey: small!, realm });
    await using bob = await open(1, { privateKey: large! });
    await Promise.all([alice.tell(bob.addr, bytes(1)), bob.tell(alice.addr, bytes(1))]);
    const roles = (): unknown[] => events.filter(({ type }) => type === 'session').map(({ reason }) => reason);
    await until(() => roles().length === 2 || connections(bob) === 1, 'they have met');
    await until(() => connections(alice) === 1, 'one is left');
    // Whatever the order in which they met, a message that goes now goes over alice's.
    alice.serve(() => bytes(0));
    await bob.ask(alice.addr, bytes(1));
    if (roles().length === 2) assert.ok(roles().includes('initiator'));
  });

  it('a quiet connection is closed, and the next message dials anew', async () => {
    await using alice = await open(0, { idleTimeoutMs: 30 });
    await using bob = await open(1);
    bob.serve(({ payload }) => payload);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await alice.ask(bob.addr, bytes(3, round)), bytes(3, round));
      assert.equal(connections(alice), 1);
      await until(() => connections(alice) === 0 && connections(bob) === 0, 'the connection is closed');
    }
    assert.ok(alice.knownPublicKey(bob.addr) !== undefined);
  });

  it('a peer that is started again is found again', async () => {
    await using alice = await open(0);
    const first = await open(1);
    first.serve(() => bytes(1, 1));
    const addr = first.addr;
    assert.deepEqual(await alice.ask(addr, bytes(1)), bytes(1, 1));
    await first.close();
    const gone = await failureOf(alice.ask(addr, bytes(1), { timeoutMs: 3000 }));
    assert.ok(['unreachable', 'disconnected'].includes(gone.code), gone.code);
    await using second = await open(1, { bind: addr.inner.text });
    second.serve(() => bytes(1, 2));
    assert.deepEqual(await alice.ask(addr, bytes(1)), bytes(1, 2));
  });

  it('a large transfer holds up neither asks nor more urgent tells', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    const order: number[] = [];
    bob.listen(({ payload }) => void order.push(payload.length));
    bob.serve(({ payload }) => payload);
    await alice.ask(bob.addr, bytes(1));
    const large = alice.tell(bob.addr, bytes(16 * MIB));
    const urgent = alice.tell(bob.addr, bytes(10), { priority: 1 });
    await alice.ask(bob.addr, bytes(5));
    assert.ok(!order.includes(16 * MIB), 'the ask was answered before the transfer was over');
    await Promise.all([large, urgent]);
    await alice.drain();
    assert.deepEqual(order, [10, 16 * MIB]);
    assert.throws(() => alice.tell(bob.addr, bytes(1), { priority: Number.NaN }), TypeError);
  });

  it('tells that nobody reads hold up no asks, and arrive when somebody does', async () => {
    await using alice = await open(0);
    await using bob = await open(1, { maxPendingBytes: 65_536, maxMessageBytes: 65_536 });
    bob.serve(({ payload }) => payload);
    const tells: Promise<void>[] = [];
    for (let i = 0; i < 400; i++) tells.push(alice.tell(bob.addr, bytes(10_000, i)));
    assert.deepEqual(await alice.ask(bob.addr, bytes(2000)), bytes(2000));
    const order: number[] = [];
    bob.listen(({ payload }) => void order.push(payload[0]!));
    await Promise.all(tells);
    await alice.drain();
    assert.deepEqual(
      order,
      Array.from({ length: 400 }, (_, i) => i % 256),
    );
  });

  it('what waits for one peer is bounded; the surplus is refused, and nobody else is affected', async () => {
    await using alice = await open(0, { maxQueueBytes: MIB });
    await using bob = await open(1, { maxPendingBytes: 65_536, maxMessageBytes: 65_536 }); // nobody listens
    await using carol = await open(2);
    carol.serve(({ payload }) => payload);
    bob.serve(({ payload }) => payload);
    await alice.ask(bob.addr, bytes(1));
    const outcomes: unknown[] = [];
    for (let i = 0; i < 100; i++) {
      void alice.tell(bob.addr, bytes(60_000)).then(
        () => outcomes.push('taken'),
        (error: unknown) => outcomes.push(P2PError.is(error) ? error.code : error),
      );
    }
    await until(() => outcomes.filter((outcome) => outcome === 'limit_exceeded').length > 50, 'the surplus is refused');
    assert.deepEqual(await alice.ask(carol.addr, bytes(9)), bytes(9));
    assert.ok(Number(inspect(alice).state['queuedBytes']) <= MIB);
  });

  it('a Refusal brings its code and bytes to the asker; deadlines and cancels reach the handler', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    const signals: AbortSignal[] = [];
    bob.serve(({ payload, signal }) => {
      if (payload.length === 1) throw new Refusal('not you', bytes(3, 9), 42);
      signals.push(signal);
      return new Promise(() => {});
    });
    const { code, cause } = await failureOf(alice.ask(bob.addr, bytes(1)));
    assert.equal(code, 'refused');
    assert.ok(Refusal.is(cause));
    assert.deepEqual([cause.code, cause.bytes], [42, bytes(3, 9)]);
    assert.equal((await failureOf(alice.ask(bob.addr, bytes(2), { timeoutMs: 20 }))).code, 'timeout');
    const controller = new AbortController();
    const asked = alice.ask(bob.addr, bytes(2), { signal: controller.signal });
    await until(() => signals.length === 2, 'the second request is there');
    controller.abort(new Error('enough'));
    await assert.rejects(asked, /enough/);
    await until(() => signals.every((signal) => signal.aborted), 'both signals have fired');
  });

  it('accept() decides on both sides, before a message is delivered', async () => {
    const friend = peerIdOfKey(testKey(0).publicKey);
    await using bob = await open(1, { accept: ({ addr }) => addr.id === friend });
    await using alice = await open(0);
    await using mallory = await open(2);
    let heard = 0;
    bob.listen(() => void heard++);
    bob.serve(() => bytes(0));
    await alice.ask(bob.addr, bytes(1));
    assert.equal((await failureOf(mallory.ask(bob.addr, bytes(1)))).code, 'refused');
    await using shy = await open(3, { accept: () => false });
    const refused = await failureOf(shy.tell(bob.addr, bytes(1)));
    assert.ok(['refused', 'identity_mismatch'].includes(refused.code), refused.code);
    assert.equal(heard, 0);
    assert.ok((inspect(bob).counters.drops['tcp.handshake_failed'] ?? 0) >= 0);
  });

  it('a message that the peer does not take is refused once that is known', async () => {
    await using alice = await open(0);
    await using bob = await open(1, { maxMessageBytes: 1000 });
    bob.serve(({ payload }) => payload);
    assert.equal((await failureOf(alice.ask(bob.addr, bytes(1001)))).code, 'mtu_exceeded');
    assert.equal(alice.mtu(bob.addr), 1000);
    assert.equal((await alice.ask(bob.addr, bytes(1000))).length, 1000);
    const tooLarge = await failureOf(alice.ask(bob.addr, bytes(1), { maxResponseBytes: 0 }));
    assert.equal(tooLarge.code, 'limit_exceeded');
  });

  it('Noise in place of TLS: the same in all, but each side needs it', async () => {
    await using alice = await open(0, { security: 'noise' });
    await using bob = await open(1, { security: 'noise' });
    await using carol = await open(2, { handshakeTimeoutMs: 200 });
    let heard = 0;
    bob.listen(({ payload }) => void (heard += payload.length));
    bob.serve(({ payload }) => payload);
    assert.deepEqual(await alice.ask(bob.addr, bytes(MIB)), bytes(MIB));
    for (let i = 0; i < 1000; i++) void alice.tell(bob.addr, bytes(64));
    await alice.drain();
    assert.equal(heard, 64_000);
    const { code } = await failureOf(carol.ask(bob.addr, bytes(1)));
    assert.ok(['timeout', 'refused', 'identity_mismatch', 'unreachable'].includes(code), code);
    // @ts-expect-error there is no other
    assert.throws(() => openTcpSwarm({ privateKey: testKey(1), security: 'plain' }), TypeError);
  });

  it('drain() waits until the peers have read everything', async () => {
    await using alice = await open(0);
    await using bob = await open(1);
    let heard = 0;
    bob.listen(() => void heard++);
    for (let i = 0; i < 4000; i++) void alice.tell(bob.addr, bytes(64));
    await alice.drain();
    assert.equal(heard, 4000);
    await alice.drain();
  });

  it('close() wakes all who wait, on both sides', async () => {
    const alice = await open(0);
    await using bob = await open(1);
    bob.serve(() => new Promise(() => {}));
    alice.serve(() => new Promise(() => {}));
    const ours = alice.ask(bob.addr, bytes(1));
    const failed = failureOf(ours);
    await until(() => connections(bob) === 1, 'connected');
    const theirs = failureOf(bob.ask(alice.addr, bytes(1)));
    await until(() => inspect(alice).counters.received > 0, 'bob has asked');
    await alice.close();
    assert.equal((await failed).code, 'closed');
    assert.equal((await theirs).code, 'disconnected');
    assert.deepEqual(alice.localAddrs(), []);
  });

  it('opening fails when the port is taken, and when nobody wants it any more', async () => {
    await using alice = await open(0);
    await assert.rejects(open(1, { bind: alice.addr.inner.text }), { code: 'in_use' });
    await assert.rejects(open(1, { signal: AbortSignal.abort(new Error('no')) }), /no/);
    assert.throws(() => openTcpSwarm({ privateKey: testKey(1), bind: 'localhost:0' }), TypeError);
    // @ts-expect-error no key
    assert.throws(() => openTcpSwarm({}), TypeError);
    assert.throws(() => openTcpSwarm({ privateKey: testKey(1), maxMessageBytes: 0 }), RangeError);
  });
});
