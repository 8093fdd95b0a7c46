/** After an end nothing is armed, nobody waits, and every table is empty. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import type { NetemConfig } from '../../src/protocols/netem/netem.ts';
import { watchedClock } from '../support/watched-clock.ts';
import { bytes, drops, idOf, nowhere, pair, take, type TestEndpoint, world } from '../support/endpoint-world.ts';

function watched(netem?: NetemConfig) {
  const clock = watchedClock();
  return { clock, ...world(netem, undefined, clock) };
}

const state = (of: TestEndpoint, name: string): number => Number(inspect(of).state[name]);

/** Every table of an endpoint is empty. */
function assertEmpty(of: TestEndpoint): void {
  const { engineBytes: _, ...tables } = inspect(of).state;
  const nothing = { connections: 0, peers: 0, dials: 0, heldBytes: 0, windowBytes: 0, readableConnections: 0 };
  assert.deepEqual(tables, nothing);
}

describe('endpoint: connecting that fails leaves nothing', () => {
  const ways: readonly [string, (alice: TestEndpoint, w: ReturnType<typeof watched>) => Promise<unknown>][] = [
    ['nobody is there', (alice, w) => alice.connect(nowhere(w), { timeoutMs: 500 })],
    ['its signal', (alice, w) => abortedAfter(w, (signal) => alice.connect(nowhere(w), { signal }))],
    ['another peer answers', (alice, w) => alice.connect(w.open().addr, { expect: idOf(9) })],
    ['it is turned away', (alice, w) => alice.connect(w.open({ accept: () => false }).addr)],
    ['no candidate answers', (alice, w) => alice.connectToAny([nowhere(w), nowhere(w)], { timeoutMs: 500 })],
    [
      'candidates one after the other, with a stagger',
      (alice, w) =>
        alice.connectToAny([nowhere(w), nowhere(w), nowhere(w)], { timeoutMs: 500, staggerMs: 300, maxParallel: 2 }),
    ],
    [
      'the signal of a race',
      (alice, w) =>
        abortedAfter(w, (signal) => alice.connectToAny([nowhere(w), nowhere(w)], { staggerMs: 900, signal })),
    ],
    ['a message to nobody', (alice, w) => alice.send(nowhere(w), bytes('x'), { timeoutMs: 500 })],
    [
      'tries again and again, and then the signal',
      (alice, w) =>
        abortedAfter(w, (signal) =>
          alice.connect(nowhere(w), { timeoutMs: 100, signal, retry: { maxAttempts: 100, backoff: () => 1000 } }),
        ),
    ],
  ];
  for (const [name, fail] of ways) {
    it(name, async () => {
      const w = watched();
      const alice = w.open();
      await assert.rejects(w.run(fail(alice, w)));
      assert.equal(state(alice, 'dials'), 0, 'at once');
      assert.deepEqual(w.clock.waits, []);
      assertEmpty(alice);
      await w.pass(0);
      assert.equal(w.clock.awaited, 0);
      await w.pass(60_000);
      assert.equal(w.clock.armed, 0);
    });
  }

  it('the losers of a race are given up when one has won', async () => {
    const w = watched({ latencyMs: 10 });
    const [alice, bob, carol] = [w.open(), w.open(), w.open()];
    await w.run(alice.connectToAny([nowhere(w), bob.addr, nowhere(w)]));
    assert.deepEqual([state(alice, 'dials'), w.clock.waits], [0, []]);
    await w.pass(500); // the handshake is over
    assert.equal(w.clock.awaited, 0);
    await w.pass(60_000);
    assert.equal(carol.openConnections().length, 0);
    assert.equal(w.clock.armed, 0, 'the idle timeout has ended the connection');
    assertEmpty(alice);
  });
});

async function abortedAfter(
  { clock }: ReturnType<typeof watched>,
  begin: (signal: AbortSignal) => Promise<unknown>,
): Promise<unknown> {
  const stop = new AbortController();
  const begun = begin(stop.signal);
  clock.setTimer(clock.nowMs() + 700, () => stop.abort(new Error('enough')));
  return begun;
}

describe('endpoint: a connection that has ended', () => {
  it('leaves nothing, when all that came was taken', async () => {
    const w = watched();
    const { alice, bob, here, there } = await pair(w);
    await w.run(here.send(bytes('a'), { acked: true }));
    await w.run(there.send(bytes('b'), { acked: true }));
    await w.run(here.close());
    await w.pass(100);
    assert.equal(state(bob, 'heldBytes'), 1);
    assert.equal(alice.messages().tryNext(), undefined, 'who closes has no use for more');
    assert.equal(bob.messages().tryNext()?.payload.length, 1);
    assert.deepEqual(
      [alice, bob].map((end) => state(end, 'heldBytes')),
      [0, 0],
    );
    await w.pass(60_000);
    for (const end of [alice, bob]) assertEmpty(end);
    assert.deepEqual([w.clock.waits, w.clock.armed], [[], 0]);
  });

  it('keeps a timer as long as messages of it wait, and no longer', async () => {
    const w = watched();
    const { bob, here } = await pair(w);
    await w.run(here.send(bytes('a'), { acked: true }));
    await w.run(here.close());
    await w.pass(60_000);
    assert.equal(w.clock.armed, 1);
    const [got] = await w.run(take(bob.messages(), 1));
    assert.equal(got?.payload.length, 1);
    await w.pass(60_000);
    assertEmpty(bob);
    assert.equal(w.clock.armed, 0);
  });

  it('is not returned by connections() when it ended before it was taken', async () => {
    const w = watched();
    const { alice, bob } = { alice: w.open(), bob: w.open() };
    const one = await w.run(alice.connect(bob.addr, { fresh: true }));
    const other = await w.run(alice.connect(bob.addr, { fresh: true }));
    await w.run(one.close());
    await w.pass(100);
    const feed = bob.connections();
    assert.equal(feed.tryNext(), bob.openConnections()[0]);
    assert.equal(feed.tryNext(), undefined);
    await w.run(other.close());
  });

  it('ends what waits on it: messages, requests, streams, readers, drains', async () => {
    const w = watched();
    const { alice, bob, here, there } = await pair(w, { maxUniStreams: 2, maxBidiStreams: 2 });
    const feed = there.streams();
    const stream = await w.run(here.openBi());
    const theirs = (await w.run(feed.next())).value!;
    await w.run(Promise.all([here.openUni(), here.openUni()]));
    const calls = [
      here.request(bytes('a'), { timeoutMs: Infinity }),
      here.request(bytes('b'), { timeoutMs: Infinity }),
      here.openBi({ timeoutMs: Infinity }),
      here.openUni({ timeoutMs: Infinity }),
      stream.receive.next({ timeoutMs: Infinity }),
      theirs.receive.next({ timeoutMs: Infinity }),
      theirs.receive.readable.getReader().read(),
      here.drain({ timeoutMs: Infinity }),
    ].map((call) => call.then(() => 'done', errorCode));
    await w.pass(100);
    for (const { receive } of await w.run(take(feed, 2))) receive.stop();
    const [ofResponder, ofInitiator] = [feed.next(), here.streams().next()];
    assert.equal(w.clock.waits.length, calls.length + 2);
    await w.run(there.close());
    for (const next of [ofResponder, ofInitiator]) assert.equal((await w.run(next)).done, true);
    await w.pass(100);
    const codes = await w.run(Promise.all(calls));
    assert.deepEqual(new Set(codes), new Set(['disconnected']));
    assert.deepEqual(w.clock.waits, []);
    while (alice.messages().tryNext() !== undefined || bob.messages().tryNext() !== undefined);
    await w.pass(60_000);
    for (const end of [alice, bob]) assertEmpty(end);
    assert.equal(w.clock.armed, 0);
  });
});

const errorCode = (error: unknown): unknown => (error as { code?: unknown }).code ?? String(error);

describe('endpoint: closed', () => {
  it('in the middle of everything, it has armed nothing, waits for nothing and holds nothing', async () => {
    const w = watched({ latencyMs: 20 });
    const { alice, bob, here } = await pair(w);
    const ended = await w.run(alice.connect(bob.addr, { fresh: true }));
    await w.run(ended.send(bytes('not taken'), { acked: true }));
    await w.run(ended.close());
    const carol = w.open();
    await w.run(Promise.all([carol.connect(alice.addr), alice.connect(carol.addr)])); // one replaces the other
    const fresh = await w.run(alice.connect(bob.addr, { fresh: true }));
    const calls = [
      alice.connect(nowhere(w), { timeoutMs: Infinity }),
      alice.connectToAny([nowhere(w), nowhere(w)], { staggerMs: 1000 }),
      alice.connect(nowhere(w), { timeoutMs: 10, retry: { maxAttempts: 9, backoff: () => 5000 } }),
      here.request(bytes('x'), { timeoutMs: Infinity }),
      fresh.send(new Uint8Array(5_000_000), { timeoutMs: Infinity }),
      alice.drain(),
    ].map((call) => call.then(() => 'done', errorCode));
    const feeds = [alice.messages(), alice.connections(), alice.events(), here.streams(), here.messages()];
    const loops = feeds.map(async (feed: AsyncIterable<unknown>) => {
      for await (const _ of feed);
    });
    await w.pass(30);
    assert.equal(state(bob, 'heldBytes') >= 'not taken'.length, true);
    const closedMs = w.realm.nowMs();
    await w.run(Promise.all([alice.close(), bob.close(), carol.close()]));
    const codes = await w.run(Promise.all(calls));
    assert.deepEqual(codes, ['closed', 'closed', 'closed', 'disconnected', 'disconnected', 'done']);
    await w.run(Promise.all(loops));
    assert.deepEqual([w.clock.waits, w.realm.nowMs()], [[], closedMs]);
    await w.pass(20); // what is on its way
    assert.equal(w.clock.armed, 0);
    for (const end of [alice, bob, carol]) assertEmpty(end);
  });

  it('without connections, it ends the iterations over what happens', async () => {
    const w = watched();
    const alice = w.open();
    const nexts = [alice.events().next(), alice.connections().next(), alice.messages().next()];
    await w.run(alice.close());
    assert.deepEqual(
      (await w.run(Promise.all<{ readonly done?: boolean }>(nexts))).map(({ done }) => done),
      [true, true, true],
    );
    assert.equal(w.clock.armed, 0);
  });

  it('streams that wait for their deadline need no timer of their own', async () => {
    const w = watched();
    const { alice, bob, here } = await pair(w);
    const uni = await w.run(here.openUni());
    await w.run(uni.send(bytes('half')));
    await w.pass(10);
    assert.ok(w.clock.armed > 0);
    await w.run(Promise.all([alice.close(), bob.close()]));
    await w.pass(0);
    assert.equal(w.clock.armed, 0);
    assert.equal(drops(bob, 'endpoint.timeout'), 0);
  });
});
