import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText, encodeText } from '../../../src/base/bytes.ts';
import type { Cell } from '../../../src/cells/cell.ts';
import { cellHandler, signedCellCheck } from '../../../src/cells/http-handler.ts';
import { createMemoryCell, createMemoryCells } from '../../../src/cells/memory.ts';
import type { Candidate } from '../../../src/core/candidate.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { encodePeerId, type PeerId } from '../../../src/core/peer-id.ts';
import {
  createTrackerToken,
  openTracker,
  parseTrackerState,
  type Tracker,
  trackerCell,
  type TrackerFault,
  type TrackerOptions,
} from '../../../src/discovery/tracker/index.ts';
import { createMemoryRealm, type MemoryRealm } from '../../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../../src/runtime/virtual-clock.ts';
import { handlerFetch } from '../../support/handler-fetch.ts';

const EMPTY = new Uint8Array(0);
const idOf = (n: number): PeerId => encodePeerId(new Uint8Array(32).fill(n));
const [ALICE, BOB, CAROL] = [idOf(1), idOf(2), idOf(3)];

class World {
  readonly realm: MemoryRealm & { readonly clock: VirtualClock } = createMemoryRealm({ clock: 'virtual', seed: 1 });
  readonly cell: Cell = createMemoryCell({ realm: this.realm });
  readonly faults: TrackerFault[] = [];

  open(id?: PeerId, addrs?: readonly string[], more: Partial<TrackerOptions> = {}): Tracker {
    const { realm, cell } = this;
    const onFault = (fault: TrackerFault): void => void this.faults.push(fault);
    return openTracker({ at: cell, id, addrs: addrs && (() => addrs), realm, cacheMs: 0, onFault, ...more });
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.realm.clock.run(promise);
  }

  async text(): Promise<string> {
    return decodeText(await this.run(this.cell.get()))!;
  }

  async write(text: string): Promise<void> {
    await this.run(this.cell.cas(await this.run(this.cell.get()), encodeText(text)));
  }

  async addrs(tracker: Tracker, id: PeerId): Promise<readonly string[]> {
    return (await this.run(tracker.lookUp(id))).map(({ addr }) => addr);
  }
}

const collect = async (candidates: AsyncIterable<Candidate>): Promise<Candidate[]> => {
  const found: Candidate[] = [];
  for await (const each of candidates) found.push(each);
  return found;
};

describe('a tracker', () => {
  it('announces at once, again and again, and stops when it is closed', async () => {
    const world = new World();
    const alice = world.open(ALICE, ['udp://192.0.2.1:5000']);
    await world.realm.clock.advance(10);
    assert.deepEqual(await world.addrs(world.open(), ALICE), ['udp://192.0.2.1:5000']);
    await world.realm.clock.advance(600_000);
    assert.ok(
      alice.counters.sent >= 20 && alice.counters.sent <= 26,
      `${alice.counters.sent} announcements in ten minutes`,
    );
    assert.deepEqual(await world.addrs(world.open(), ALICE), ['udp://192.0.2.1:5000']);
    await alice.close();
    await world.realm.clock.advance(121_000);
    assert.deepEqual(await world.addrs(world.open(), ALICE), []);
  });

  it('gives what holds, and nothing longer than it was announced for', async () => {
    const world = new World();
    const bob = world.open();
    await world.run(world.open(ALICE).announce(['a:1', 'b:2']));
    const [first] = await world.run(bob.lookUp(ALICE));
    const nowMs = world.realm.wallMs();
    assert.deepEqual(first, {
      id: ALICE,
      addr: 'a:1',
      source: 'tracker',
      seenMs: nowMs,
      expiresMs: nowMs + 120_000,
      trust: 'claimed',
    });
    await world.realm.clock.advance(119_999);
    assert.deepEqual(await world.addrs(bob, ALICE), ['a:1', 'b:2']);
    await world.realm.clock.advance(1);
    assert.deepEqual(await world.addrs(bob, ALICE), []);
    assert.equal(bob.counters.drops.get('tracker.expired'), 2);
  });

  it('gives nothing of an empty cell, without a fault', async () => {
    const world = new World();
    assert.deepEqual(await world.addrs(world.open(), ALICE), []);
    assert.deepEqual(await world.run(collect(world.open().candidates())), []);
    assert.deepEqual(world.faults, []);
  });

  it('gives all others, newest first, but not itself', async () => {
    const world = new World();
    for (const [id, addr] of [
      [BOB, 'b:1'],
      [ALICE, 'a:1'],
      [CAROL, 'c:1'],
    ] as const) {
      await world.run(world.open(id).announce([addr]));
      await world.realm.clock.advance(1000);
    }
    const found = await world.run(collect(world.open(ALICE).candidates()));
    assert.deepEqual(
      found.map(({ addr }) => addr),
      ['c:1', 'b:1'],
    );
    assert.deepEqual(
      (await world.run(collect(world.open().candidates(ALICE)))).map(({ addr }) => addr),
      ['a:1'],
    );
  });

  it('lets many announce at the same time: each entry is there', async () => {
    const world = new World();
    const ids = Array.from({ length: 40 }, (_, i) => idOf(i + 1));
    await world.run(Promise.all(ids.map((id) => world.open(id).announce([`${id}:1`]))));
    const { state } = parseTrackerState(await world.run(world.cell.get()))!;
    assert.equal(state.size, 40);
  });

  it('takes its entry out when it withdraws, and does not announce again', async () => {
    const world = new World();
    const alice = world.open(ALICE, ['a:1']);
    await world.realm.clock.advance(10);
    await world.run(alice.withdraw());
    assert.equal(await world.text(), '{"peers":{}}');
    await world.realm.clock.advance(600_000);
    assert.equal(await world.text(), '{"peers":{}}');
    assert.deepEqual(world.faults, []);
  });

  it('does not announce a node without addresses, and does so once it has one', async () => {
    const world = new World();
    const addrs: string[] = [];
    await using alice = world.open(ALICE, addrs);
    await world.realm.clock.advance(60_000);
    assert.equal(alice.counters.sent, 0);
    addrs.push('a:1');
    await world.realm.clock.advance(6000);
    assert.equal(alice.counters.sent, 1);
  });

  it('leaves out what has expired when it writes', async () => {
    const world = new World();
    await world.run(world.open(ALICE).announce(['a:1']));
    await world.realm.clock.advance(200_000);
    await world.run(world.open(BOB).announce(['b:1']));
    assert.ok(!(await world.text()).includes(ALICE));
  });

  it('replaces what is no JSON of a tracker, and reports it', async () => {
    const world = new World();
    const alice = world.open(ALICE);
    for (const text of ['not JSON', '{"peers":[]}', '[]', 'null', '\u0000']) {
      await world.write(text);
      assert.deepEqual(await world.addrs(alice, BOB), []);
      assert.equal(world.faults.at(-1)?.code, 'malformed');
      await world.run(alice.announce(['a:1']));
      assert.deepEqual(await world.addrs(world.open(), ALICE), ['a:1']);
    }
  });

  it('does not believe entries of the future, which would hold for ever', async () => {
    const world = new World();
    const entry = (timestamp: string): unknown => ({ addr: 'a:1', timestamp, ttl: 1e18 });
    await world.write(JSON.stringify({ peers: { [ALICE]: [entry('9999-01-01T00:00:00Z')] } }));
    assert.deepEqual(await world.addrs(world.open(), ALICE), []);
    await world.run(world.open(BOB).announce(['b:1']));
    assert.ok(!(await world.text()).includes('9999'));
  });

  it('leaves out those that announced longest ago when the cell is full, and reports it', async () => {
    const world = new World();
    const cell = createMemoryCell({ realm: world.realm, maxBytes: 1024 });
    for (let i = 1; i <= 12; i++) {
      await world.run(world.open(idOf(i), undefined, { at: cell }).announce([`192.0.2.${i}:5000`]));
      await world.realm.clock.advance(1000);
    }
    const { state } = parseTrackerState(await world.run(cell.get()))!;
    assert.ok(state.size >= 6 && state.size < 12, `${state.size} peers in 1024 bytes`);
    assert.ok(state.has(idOf(12)) && state.has(idOf(11)) && !state.has(idOf(1)));
    assert.equal(world.faults[0]?.code, 'crowded');
  });

  it('notices that an older state has come back, and keeps what it knows better', async () => {
    const world = new World();
    const bob = world.open();
    await world.run(world.open(ALICE).announce(['old:1']));
    const before = await world.text();
    await world.realm.clock.advance(1000);
    await world.run(world.open(ALICE).announce(['new:1']));
    assert.deepEqual(await world.addrs(bob, ALICE), ['new:1']);
    await world.write(before);
    assert.deepEqual(await world.addrs(bob, ALICE), ['new:1']);
    assert.deepEqual(
      world.faults.map(({ code }) => code),
      ['rolled_back'],
    );
    // Those who write bring the newer state back.
    await world.run(world.open(BOB, undefined).announce(['b:1']));
    assert.equal(bob.counters.drops.get('tracker.rolled_back'), 1);
  });

  it('writes back what it knows better than an older state', async () => {
    const world = new World();
    const bob = world.open(BOB);
    await world.run(world.open(ALICE).announce(['old:1']));
    const before = await world.text();
    await world.realm.clock.advance(1000);
    await world.run(world.open(ALICE).announce(['new:1']));
    await world.run(bob.announce(['b:1']));
    await world.write(before);
    await world.run(bob.announce(['b:1']));
    assert.deepEqual(await world.addrs(world.open(), ALICE), ['new:1']);
  });

  it('notices that its own entry was lost, and announces it again', async () => {
    const world = new World();
    await using alice = world.open(ALICE, ['a:1']);
    await world.realm.clock.advance(10);
    await world.write('');
    await world.realm.clock.advance(31_000);
    assert.deepEqual(
      world.faults.map(({ code }) => code),
      ['rolled_back'],
    );
    assert.deepEqual(await world.addrs(world.open(), ALICE), ['a:1']);
    assert.ok(alice.counters.sent >= 2);
  });

  it('reports a cell that is not reached once, goes on, and reports the next time', async () => {
    const world = new World();
    let isDown = true;
    const at: Cell = {
      ...world.cell,
      maxBytes: world.cell.maxBytes,
      realm: world.realm,
      get: (options) =>
        isDown
          ? Promise.reject(new P2PError('unreachable', 'remote', 'no answer', { sent: 'no' }))
          : world.cell.get(options),
      cas: (expected, next, options) => world.cell.cas(expected, next, options),
    };
    await using alice = world.open(ALICE, ['a:1'], { at });
    await world.realm.clock.advance(120_000);
    assert.deepEqual(
      world.faults.map(({ code }) => code),
      ['unreachable'],
    );
    await assert.rejects(world.run(alice.lookUp(BOB)), (error) => P2PError.is(error, 'unreachable'));
    assert.deepEqual(await world.run(collect(alice.candidates(BOB))), []);
    isDown = false;
    await world.realm.clock.advance(40_000);
    assert.deepEqual(await world.addrs(alice, ALICE), []);
    assert.deepEqual(await world.addrs(world.open(), ALICE), ['a:1']);
    isDown = true;
    await world.realm.clock.advance(60_000);
    assert.deepEqual(
      world.faults.map(({ code }) => code),
      ['unreachable', 'unreachable'],
    );
  });

  it('shares one reading among look-ups at a time, and for two seconds', async () => {
    const world = new World();
    const bob = world.open(undefined, undefined, { cacheMs: undefined });
    await world.run(Promise.all(Array.from({ length: 50 }, () => bob.lookUp(ALICE))));
    assert.equal(bob.counters.received, 1);
    await world.realm.clock.advance(1999);
    await world.addrs(bob, ALICE);
    assert.equal(bob.counters.received, 1);
    await world.realm.clock.advance(1);
    await world.addrs(bob, ALICE);
    assert.equal(bob.counters.received, 2);
  });

  it('ends calls by their signal and by close', async () => {
    const world = new World();
    const stuck: Cell = { ...world.cell, maxBytes: 8, realm: world.realm, get: () => new Promise(() => undefined) };
    const tracker = world.open(ALICE, undefined, { at: stuck });
    const reason = new Error('enough');
    await assert.rejects(tracker.lookUp(BOB, { signal: AbortSignal.abort(reason) }), reason);
    await tracker.close();
    await tracker.close();
    await assert.rejects(tracker.lookUp(BOB), (error) => P2PError.is(error, 'closed'));
  });

  it('seals and signs over HTTP: the server sees neither names nor addresses', async () => {
    const world = new World();
    const store = createMemoryCells({ realm: world.realm });
    const fetch = handlerFetch(cellHandler(store, { check: signedCellCheck }));
    const token = createTrackerToken('http://tracker.test', world);
    await world.run(world.open(ALICE, undefined, { at: token.text, fetch }).announce(['a:1']));
    assert.deepEqual(await world.addrs(world.open(BOB, undefined, { at: token.text, fetch }), ALICE), ['a:1']);
    const stored = new TextDecoder('latin1').decode(await world.run(store.get(token.id)));
    assert.ok(stored.length > 100 && !stored.includes(ALICE) && !stored.includes('a:1'));
    // Without the secret nothing can be written.
    const other = createTrackerToken('http://tracker.test', world);
    const foreign = `${token.endpoint}/${token.id}#${other.text.split('#')[1]}`;
    assert.throws(() => trackerCell(foreign), TypeError);
  });

  it('spreads a network over several cells, and reads one of them for a look-up', async () => {
    const world = new World();
    const store = createMemoryCells({ realm: world.realm });
    const asked: string[] = [];
    const handle = cellHandler(store, { check: signedCellCheck });
    const fetch = handlerFetch((request) => {
      if (request.method === 'GET') asked.push(request.path);
      return handle(request);
    });
    const { text, shards } = createTrackerToken('http://tracker.test', { realm: world.realm, shards: 16 });
    assert.ok(text.endsWith('=*16') && shards === 16);
    const ids = Array.from({ length: 64 }, () => encodePeerId(world.realm.random(32)));
    for (const id of ids) await world.run(world.open(id, undefined, { at: text, fetch }).announce([`${id}:1`]));
    const seeker = world.open(undefined, undefined, { at: text, fetch });
    for (const id of ids) {
      asked.length = 0;
      assert.deepEqual(await world.addrs(seeker, id), [`${id}:1`]);
      assert.equal(asked.length, 1);
    }
    asked.length = 0;
    const found = await world.run(collect(seeker.candidates()));
    assert.ok(found.length > 8 && new Set(asked).size <= 8, `${found.length} peers of ${asked.length} cells`);
    assert.ok(seeker.counters.received >= 64);
    await seeker.close();
    await assert.rejects(seeker.lookUp(ids[0]!), (error) => P2PError.is(error, 'closed'));
    for (const wrong of [
      text.replace('*16', '*0'),
      text.replace('*16', '*1'),
      text.replace('*16', '*4097'),
      `${text}*2`,
    ]) {
      assert.throws(() => openTracker({ at: wrong }), TypeError);
    }
  });

  it('does not take a value that nobody with the token has written', async () => {
    const world = new World();
    const store = createMemoryCells({ realm: world.realm });
    const fetch = handlerFetch(cellHandler(store));
    const token = createTrackerToken('http://tracker.test', world);
    await world.run(store.cas(token.id, EMPTY, encodeText('{"peers":{}}')));
    const tracker = world.open(ALICE, undefined, { at: token.text, fetch });
    await assert.rejects(world.run(tracker.lookUp(BOB)), (error) => P2PError.is(error, 'identity_mismatch'));
    assert.equal(world.faults[0]?.code, 'malformed');
  });

  it('throws at once for misuse', () => {
    const world = new World();
    const wrong = (options: object): void => {
      assert.throws(
        () => openTracker({ at: world.cell, ...options }),
        (error) => error instanceof TypeError || error instanceof RangeError,
      );
    };
    for (const options of [
      { at: 'no token' },
      { at: {} },
      { id: 'nobody' },
      { addrs: 7 },
      { ttlMs: 1 },
      { everyMs: 119_000 },
      { onFault: 1 },
      { realm: {} },
    ])
      wrong(options);
    assert.throws(() => world.open().announce(['a:1']), TypeError);
    assert.throws(() => world.open().lookUp('nobody' as PeerId), TypeError);
    assert.throws(() => openTracker(undefined as never), TypeError);
  });
});
