import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import type { ConnectionClosed } from '../../src/endpoint/index.ts';
import {
  bytes,
  echo,
  errorOf,
  idOf,
  nowhere,
  pair,
  take,
  type TestConnection,
  type TestEndpoint,
  world,
} from '../support/endpoint-world.ts';

describe('endpoint: pool', () => {
  it('a connection is reused by address and by PeerID, an accepted one too', async () => {
    const w = world();
    const { alice, bob, here, there } = await pair(w);
    assert.equal(await w.run(alice.connect(bob.addr)), here);
    assert.equal(await w.run(alice.connect(bob.addr.text)), here);
    assert.equal(await w.run(alice.connect(nowhere(w), { expect: bob.peerId })), here, 'an address is a hint');
    assert.equal(await w.run(bob.connect(alice.addr)), there);
    assert.equal(alice.openConnections().length, 1);
    await w.run(here.close());
    await w.run(there.closed);
    for (const [end, other] of [
      [alice, bob],
      [bob, alice],
    ] as const) {
      assert.equal(end.connectionTo(other.addr), undefined);
      assert.equal(end.connectionTo(other.peerId), undefined);
    }
  });

  it('a peer without a PeerID is found by address, and both indices forget it together', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w, { trust: 'anyone' });
    assert.deepEqual([here.authenticated, here.peerId, here.publicKey], [false, undefined, undefined]);
    assert.equal(await w.run(alice.connect(bob.addr)), here);
    assert.equal(alice.connectionTo(bob.peerId), undefined);
    await w.run(here.close());
    assert.equal(alice.connectionTo(bob.addr), undefined);
  });

  it('fresh dials a new connection and keeps both; pool: false does so for every connect', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w);
    const fresh = await w.run(alice.connect(bob.addr, { fresh: true }));
    assert.notEqual(fresh, here);
    await w.pass(20_000);
    await w.run(Promise.all([here.send(bytes('1'), { acked: true }), fresh.send(bytes('2'), { acked: true })]));
    assert.equal(await w.run(alice.connect(bob.addr)), here);
    const poolless = w.open({ pool: false });
    const [one, two] = await w.run(Promise.all([poolless.connect(bob.addr), poolless.connect(bob.addr)]));
    assert.notEqual(one, two);
    const carol = w.open();
    await w.run(Promise.all([1, 2, 3].map((n) => poolless.send(carol.addr, Uint8Array.of(n), { acked: true }))));
    assert.equal(carol.openConnections().length, 1, 'what is sent shares a dial all the same');
  });

  it('a peer with too many connections loses the oldest', async () => {
    const w = world();
    const bob = w.open({ maxConnectionsPerPeer: 3 });
    const alice = w.open();
    const all: TestConnection[] = [];
    for (let i = 0; i < 5; i++) all.push(await w.run(alice.connect(bob.addr, { fresh: true })));
    await w.pass(100);
    assert.equal(bob.openConnections().length, 3);
    const ended = all.filter(({ closeReason }) => closeReason?.code === 2);
    assert.equal(ended.length, 2);
  });

  it('a surplus connection closes when its request is answered, not before, and twice as many are the limit', async () => {
    const w = world();
    const bob = w.open({ maxConnectionsPerPeer: 2 });
    const alice = w.open();
    const asked = bob.messages();
    const dial = (): Promise<TestConnection> => w.run(alice.connect(bob.addr, { fresh: true }));
    const all: TestConnection[] = [];
    const answers: Promise<unknown>[] = [];
    for (let i = 0; i < 4; i++) {
      const connection = await dial();
      all.push(connection);
      answers.push(connection.request(bytes('slow'), { timeoutMs: 100_000 }));
    }
    const [first, ...others] = await w.run(take(asked, 4));
    await w.pass(10_000);
    assert.deepEqual(
      all.map(({ closeReason }) => closeReason?.code),
      [undefined, undefined, undefined, undefined],
    );
    const fifth = await w.run(errorOf(alice.connect(bob.addr, { fresh: true })));
    assert.deepEqual([fifth.code, fifth.sent], ['refused', 'no'], 'all others are in use');
    await w.run(first!.reply!.finish(bytes('done')));
    await w.run(answers[0]!);
    await w.pass(5000);
    assert.deepEqual(
      all.map(({ closeReason }) => closeReason?.code),
      [2, undefined, undefined, undefined],
    );
    for (const { reply } of others) await w.run(reply!.finish(bytes('done')));
    await w.run(Promise.all(answers));
    await w.pass(5000);
    assert.equal(bob.openConnections().length, 2);
  });

  it('an endpoint that is full refuses, and takes connections again when others have ended', async () => {
    const w = world();
    const bob = w.open({ maxConnections: 2 });
    const [one, two, three] = [w.open(), w.open(), w.open()];
    const first = await w.run(one.connect(bob.addr));
    await w.run(two.connect(bob.addr));
    const refused = await w.run(errorOf(three.connect(bob.addr)));
    assert.deepEqual([refused.code, refused.side, refused.sent], ['refused', 'remote', 'no']);
    await w.run(first.close());
    await w.pass(5000);
    await w.run(three.connect(bob.addr));
  });

  it('calls for the same address share a dial, and each of them can be cancelled', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob] = [w.open(), w.open()];
    const stop = new AbortController();
    const first = alice.connect(bob.addr, { signal: stop.signal }).catch((error: unknown) => error);
    const others = Array.from({ length: 5 }, () => alice.connect(bob.addr));
    await w.pass(5);
    stop.abort('not me');
    assert.equal(await w.run(first), 'not me');
    const got = await w.run(Promise.all(others));
    assert.equal(new Set(got).size, 1);
    await w.pass(100);
    assert.equal(bob.openConnections().length, 1);
    const dead = nowhere(w);
    const failing = await w.run(Promise.all([errorOf(alice.connect(dead)), errorOf(alice.connect(dead))]));
    assert.deepEqual(
      failing.map(({ code }) => code),
      ['timeout', 'timeout'],
    );
  });

  it('a dial is cancelled with its last call', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob] = [w.open(), w.open()];
    const error = await w.run(errorOf(alice.connect(bob.addr, { timeoutMs: 15 })));
    assert.equal(error.code, 'timeout');
    await w.pass(5000);
    assert.deepEqual([alice.openConnections().length, bob.openConnections().length], [0, 0]);
  });

  it('a call right after the last one was cancelled begins another dial', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob] = [w.open(), w.open()];
    const stop = new AbortController();
    const first = alice.connect(bob.addr, { signal: stop.signal }).catch((error: unknown) => error);
    await w.pass(1);
    stop.abort('not me');
    const second = alice.connect(bob.addr);
    assert.equal(await w.run(first), 'not me');
    assert.equal((await w.run(second)).peerId, bob.peerId);
  });

  it('disconnectFrom closes every connection with a peer, by PeerID or address', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w);
    const fresh = await w.run(alice.connect(bob.addr, { fresh: true }));
    assert.equal(await w.run(alice.disconnectFrom(bob.peerId, { code: 500, reason: 'go away' })), 2);
    assert.deepEqual([here.closeReason?.code, fresh.closeReason?.code], [500, 500]);
    assert.equal(await w.run(alice.disconnectFrom(bob.addr)), 0);
    await w.run(alice.connect(bob.addr));
    assert.equal(await w.run(alice.disconnectFrom(bob.addr.text)), 1);
  });

  it('connections and disconnections are reported once each', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const events = bob.events();
    const here = await w.run(alice.connect(bob.addr));
    await w.run(here.close({ code: 700 }));
    const [first, second] = await w.run(take(events, 2));
    assert.deepEqual([first?.type, second?.type], ['connected', 'disconnected']);
    assert.ok(second?.type === 'disconnected');
    const { closed }: { closed: ConnectionClosed } = second;
    assert.deepEqual([closed.by, closed.code], ['peer', 700]);
    assert.equal(second.connection.peerId, alice.peerId);
    await w.pass(60_000);
    assert.equal(events.tryNext(), undefined);
  });
});

describe('endpoint: sending to peers', () => {
  it('send connects if there is no connection; trySend only uses an existing one', async () => {
    const w = world();
    const [alice, bob] = [w.open(), w.open()];
    const unsent = await w.run(errorOf(alice.trySend(bob.addr, bytes('no'))));
    assert.deepEqual([unsent.code, unsent.sent], ['unreachable', 'no']);
    await w.run(alice.send(bob.addr, bytes('one'), { acked: true }));
    await w.run(alice.trySend(bob.peerId, bytes('two'), { acked: true }));
    await w.run(alice.send(`${bob.peerId}@${bob.addr.text}`, bytes('three'), { acked: true }));
    assert.equal((await w.run(take(bob.messages(), 3))).length, 3);
    assert.equal(bob.openConnections().length, 1);
    const stranger = await w.run(errorOf(alice.send(idOf(77), bytes('who?'))));
    assert.deepEqual([stranger.code, stranger.sent], ['unreachable', 'no']);
  });

  it('a peer that was here is reached again by its PeerID alone', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w);
    await w.run(here.close());
    await w.run(alice.send(bob.peerId, bytes('back'), { acked: true }));
    assert.equal((await w.run(take(bob.messages(), 1))).length, 1);
  });

  it('connecting is tried again with growing pauses, per call', async () => {
    const w = world();
    const [alice, bob] = [w.open({ connectTimeoutMs: 1000 }), w.open()];
    w.realm.cut();
    const connecting = alice.connect(bob.addr, { retry: { timeoutMs: 60_000 } });
    await w.pass(5000);
    w.realm.heal();
    await w.run(connecting);
    const gone = await w.run(errorOf(alice.connect(nowhere(w), { retry: { maxAttempts: 3 } })));
    assert.equal(gone.code, 'timeout');
    const mallory = w.open();
    const startedMs = w.realm.nowMs();
    const wrong = await w.run(errorOf(alice.connect(mallory.addr, { expect: idOf(50), retry: true })));
    assert.deepEqual([wrong.code, w.realm.nowMs()], ['identity_mismatch', startedMs], 'not worth another try');
  });

  it('the event sent comes with the acknowledgement, the event unsent contains the message', async () => {
    const w = world({ latencyMs: 10 });
    const [alice, bob] = [w.open(), w.open()];
    const events = alice.events();
    const good = bytes('good');
    await w.run(alice.send(bob.addr, good, { token: 17 }));
    const bad = bytes('bad');
    const dead = nowhere(w);
    await w.run(errorOf(alice.send(dead, bad, { token: 'x', timeoutMs: 500 })));
    const got = await w.run(take(events, 3));
    assert.equal(got[0]?.type, 'connected');
    assert.ok(got[1]?.type === 'sent' && got[1].message === good && got[1].token === 17);
    assert.ok(got[2]?.type === 'unsent' && got[2].message === bad && got[2].token === 'x');
    assert.deepEqual([got[2].error.code, got[2].error.sent], ['timeout', 'no']);
  });

  it('a message that is retried is reported once', async () => {
    const w = world();
    const alice = w.open({ connectTimeoutMs: 500 });
    const events = alice.events();
    const dead = nowhere(w);
    const retry = { maxAttempts: 4 };
    await w.run(errorOf(alice.send(dead, bytes('x'), { token: 1, retry, timeoutMs: 500 })));
    const stop = new AbortController();
    const given = alice.send(dead, bytes('y'), { token: 2, signal: stop.signal }).catch((error: unknown) => error);
    await w.pass(10);
    stop.abort('enough');
    assert.equal(await w.run(given), 'enough');
    const got = await w.run(take(events, 2));
    assert.deepEqual(
      got.map((event) => (event.type === 'unsent' ? event.token : event.type)),
      [1, 2],
    );
    await w.pass(10_000);
    assert.equal(events.tryNext(), undefined);
  });

  it('a message that is lost with its connection is reported as perhaps sent', async () => {
    const w = world();
    const { alice, bob, here } = await pair(w, { idleTimeoutMs: 2000 });
    const events = alice.events();
    w.realm.cut();
    await w.run(alice.send(bob.peerId, bytes('into the dark'), { token: 1 }));
    await w.pass(10_000);
    assert.equal(here.closeReason?.by, 'idle_timeout');
    const got = await w.run(take(events, 2));
    const unsent = got.find(({ type }) => type === 'unsent');
    assert.ok(unsent?.type === 'unsent' && unsent.token === 1 && unsent.error.sent === 'maybe');
  });

  it('messages before the handshake ends wait, in order, and up to maxQueuedMessages', async () => {
    const w = world({ latencyMs: 20 });
    const [alice, bob] = [w.open({ maxQueuedMessages: 10 }), w.open()];
    const results = await w.run(
      Promise.all(
        Array.from({ length: 12 }, (_, i) =>
          alice.send(bob.addr, Uint8Array.of(i)).then(
            () => 'sent',
            (error: unknown) => (P2PError.is(error) ? error.code : 'bug'),
          ),
        ),
      ),
    );
    assert.deepEqual(results, [...Array.from({ length: 10 }, () => 'sent'), 'limit_exceeded', 'limit_exceeded']);
    const got = await w.run(take(bob.messages(), 10));
    assert.deepEqual(
      got.map(({ stream }) => stream.index),
      Array.from({ length: 10 }, (_, i) => i),
    );
    assert.deepEqual(
      got.map(({ payload }) => payload[0]),
      Array.from({ length: 10 }, (_, i) => i),
    );
    assert.equal(bob.openConnections().length, 1);
  });

  it('an endpoint can talk to itself', async () => {
    const w = world();
    const alice = w.open();
    void echo(alice);
    const here = await w.run(alice.connect(alice.addr));
    assert.equal((await w.run(here.request(bytes('me')))).length, 2);
  });

  it('await using closes a connection and an endpoint', async () => {
    const w = world();
    let here: TestConnection;
    let alice: TestEndpoint;
    {
      await using bob = w.open();
      alice = w.open();
      await using connection = await w.run(alice.connect(bob.addr));
      here = connection;
    }
    assert.equal(here.closeReason?.by, 'local');
  });
});
