import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { encodeText, fromHex } from '../../../src/base/bytes.ts';
import { P2PError } from '../../../src/core/errors.ts';
import { type ChordOptions, type ChordRing, openChord } from '../../../src/overlay/chord/index.ts';
import { encodeFound, encodeNeighbours, encodeRequest } from '../../../src/protocols/chord/messages.ts';
import { ChordNode } from '../../../src/protocols/chord/node.ts';
import { type MemoryAddr, createMemoryRealm } from '../../../src/swarms/memory/index.ts';
import { findFailure, simulate } from '../../../src/testing/index.ts';
import { chordSimulation, ringFault } from '../../support/chord-simulation.ts';

const UPKEEP_MS = 100;

/** Nodes whose place is their address: node 7 is at 7 of 256. */
class World {
  readonly realm = createMemoryRealm({ clock: 'virtual', seed: 1, netem: { latencyMs: 2 } });
  readonly rings = new Map<number, ChordRing<MemoryAddr>>();

  open(n: number, bootstrap: readonly number[], change: Partial<ChordOptions<MemoryAddr>> = {}): ChordRing<MemoryAddr> {
    const ring = openChord(this.realm.swarm(n), {
      networkName: 'test',
      bootstrap: bootstrap.map(String),
      successors: 2,
      upkeepMs: UPKEEP_MS,
      callTimeoutMs: 50,
      placeOf: (addr) => Uint8Array.of(Number(addr.text), ...new Uint8Array(31)),
      ...change,
    });
    this.rings.set(n, ring);
    return ring;
  }

  crash(n: number): void {
    this.realm.drop(n);
    this.rings.delete(n);
  }

  rounds(n: number): Promise<void> {
    return this.realm.clock.advance(n * UPKEEP_MS);
  }

  /** A ring of these, once it is in order. */
  async ring(...nodes: readonly number[]): Promise<void> {
    for (const n of nodes) {
      const opened = this.open(n, n === nodes[0] ? [] : [nodes[0]!]);
      await this.realm.clock.run(opened.ready);
    }
    await this.rounds(10 + 4 * nodes.length);
    this.assertRing();
  }

  assertRing(): void {
    const order = [...this.rings.keys()].toSorted((a, b) => a - b);
    for (const [i, n] of order.entries()) {
      const next = order[(i + 1) % order.length];
      const found = this.rings.get(n)!.inspect().successors[0];
      assert.equal(found, order.length === 1 ? undefined : String(next), `behind ${n}`);
    }
  }
}

describe('a ring', () => {
  it('is right with one, two and three nodes, and looks keys up', async () => {
    const w = new World();
    const one = w.open(10, []);
    const key = encodeText('a key');
    assert.equal((await w.realm.clock.run(one.lookup(key))).owner.text, '10');
    await w.realm.clock.run(w.open(20, [10]).ready);
    await w.rounds(5);
    w.assertRing();
    await w.realm.clock.run(w.open(30, [20]).ready);
    await w.rounds(8);
    w.assertRing();
    assert.deepEqual([one.predecessor!.text, one.successors.map(String)], ['30', ['20', '30']]);
    const owners = new Set<string>();
    for (const ring of w.rings.values()) owners.add((await w.realm.clock.run(ring.lookup(key))).owner.text);
    assert.equal(owners.size, 1);
    w.crash(20);
    w.crash(30);
    await w.rounds(10);
    assert.deepEqual(one.inspect().successors, []);
    assert.equal((await w.realm.clock.run(one.lookup(key))).owner.text, '10');
  });

  it('names the first node at or behind the place of a key, whoever is asked', async () => {
    const w = new World();
    const nodes = [3, 40, 41, 90, 140, 200, 230, 250];
    await w.ring(...nodes);
    for (let i = 0; i < 64; i++) {
      const key = encodeText(`key ${i}`);
      const [place] = createHash('sha256').update(`shoal chord place\0test\0key ${i}`).digest();
      const expected = nodes.find((n) => n > place!) ?? nodes[0]!;
      const ring = w.rings.get(nodes[i % nodes.length]!)!;
      const { owner, owners } = await w.realm.clock.run(ring.lookup(key));
      assert.equal(owner.text, `${expected}`, `key ${i} at ${place}`);
      assert.equal(owners.length, 2);
    }
  });

  it('looks up in about log2(n) / 2 hops, and any node finds the same owner', async () => {
    const { isOk, failure, metrics } = await simulate(
      chordSimulation({
        nodes: 64,
        network: { kind: 'memory', netem: { latencyMs: 5 } },
        durationMs: 60_000,
        churn: undefined,
        chaos: [],
        run: async (simulation) => {
          await simulation.sleep(45_000);
          for (let i = 0; i < 100; i++) {
            const key = encodeText(`key ${i}`);
            const [a, b] = [simulation.any()[1], simulation.any()[1]];
            const [one, other] = await Promise.all([a.lookup(key), b.lookup(key)]);
            assert.equal(one.owner.text, other.owner.text);
            simulation.measure('hops', one.path.length);
          }
        },
      }),
    );
    assert.equal(failure, undefined);
    assert.equal(isOk, true);
    const { mean, max } = metrics.distributions['hops']!;
    assert.ok(mean < 4 && max <= 8, `${mean} ${max}`);
  });

  it('is one ring after churn, a partition and crashes, on every seed', async () => {
    // SHOAL_CHORD_SEEDS=10000 takes about twenty minutes.
    const seeds = Number(process.env['SHOAL_CHORD_SEEDS'] ?? 25);
    const found = await findFailure(chordSimulation({ nodes: 8, durationMs: 20_000 }), { seeds, shrink: false });
    assert.equal(found, undefined, `seed ${found?.result.seed}: ${found?.result.failure?.message}`);
  });

  it('the simulation sees a ring that is not in order', async () => {
    const { isOk, failure } = await simulate(
      chordSimulation({
        nodes: 4,
        openEveryMs: 0,
        durationMs: 1,
        churn: undefined,
        chaos: [],
        run: undefined,
        liveness: {
          withinMs: 0,
          check: (simulation) => {
            const fault = ringFault(simulation);
            if (fault !== undefined) throw new Error(fault);
          },
        },
      }),
    );
    assert.equal(isOk, false);
    assert.match(failure!.message, /instead of/);
  });
});

/** Sequences that break the protocol as it was first published (Zave 2012, 2017). */
describe('published counterexamples', () => {
  it('a node joins, and its successor fails before anybody else knows of it', async () => {
    const w = new World();
    await w.ring(10, 30, 50);
    await w.realm.clock.run(w.open(20, [10]).ready);
    w.crash(30);
    await w.rounds(12);
    w.assertRing();
  });

  it('two nodes join between the same two at one instant, and the nearer one fails', async () => {
    const w = new World();
    await w.ring(10, 50);
    const joins = [w.open(20, [10]), w.open(30, [50])];
    await w.realm.clock.run(Promise.all(joins.map(({ ready }) => ready)));
    w.crash(20);
    await w.rounds(12);
    w.assertRing();
  });

  it('a node fails and comes back at the same place, while others still have it in their lists', async () => {
    const w = new World();
    await w.ring(10, 20, 30, 40);
    w.crash(20);
    await w.realm.clock.run(w.open(20, [40]).ready);
    w.crash(30);
    await w.realm.clock.run(w.open(30, [10]).ready);
    await w.rounds(15);
    w.assertRing();
  });

  it('a stale entry of a list does not become the first successor, and no living node is skipped', async () => {
    const w = new World();
    await w.ring(10, 20, 30, 40, 50);
    w.crash(20);
    w.crash(40);
    await w.realm.clock.run(w.open(25, [50]).ready);
    await w.rounds(15);
    w.assertRing();
    for (const ring of w.rings.values()) for (const addr of ring.inspect().successors) assert.notEqual(addr, '20');
  });

  it('a node that loses all its successors finds the ring again by nodes that it has met', async () => {
    const w = new World();
    await w.ring(10, 20, 30, 40, 50, 60);
    w.crash(20);
    w.crash(30); // 10 knows two, and both are gone
    await w.rounds(20);
    w.assertRing();
  });

  it('two rings after a partition become one', async () => {
    const w = new World();
    await w.ring(10, 20, 30, 40, 50, 60);
    const addrs = (...numbers: readonly number[]) =>
      numbers.map((n) => w.rings.get(n)!).map((ring) => ring.inspect().addr);
    const parse = (texts: readonly string[]) => texts.map((text) => w.realm.swarm().parseAddr(text));
    w.realm.partition(parse(addrs(10, 30, 50)), parse(addrs(20, 40, 60)));
    await w.rounds(40);
    assert.equal(w.rings.get(10)!.inspect().successors[0], '30', 'there are two rings');
    assert.equal(w.rings.get(20)!.inspect().successors[0], '40');
    w.realm.heal();
    await w.rounds(120);
    w.assertRing();
  });
});

describe('hostile nodes of a ring', () => {
  const key = encodeText('a key');

  /** A node that answers as it likes, given to an honest one to begin with. */
  async function beside(answer: (request: Uint8Array, n: number) => Uint8Array): Promise<{
    readonly w: World;
    readonly ring: ChordRing<MemoryAddr>;
    readonly asked: () => number;
  }> {
    const w = new World();
    let asked = 0;
    w.realm.swarm(200).serve(({ payload }) => answer(payload, asked++));
    const ring = w.open(10, [200]);
    await w.rounds(3);
    return { w, ring, asked: () => asked };
  }

  it('that name farther nodes for ever, themselves, nobody, or thousands do not keep a lookup alive', async () => {
    const closer = (addrs: readonly string[]): Uint8Array => encodeFound({ kind: 'closer', addrs });
    const liars: readonly ((request: Uint8Array, n: number) => Uint8Array)[] = [
      (_, n) => closer([`${300 + n}`, `${301 + n}`]),
      () => closer(['200']),
      () => closer([]),
      () => closer(Array.from({ length: 32 }, (_, i) => `${i}`)),
      () => encodeFound({ kind: 'owners', addrs: ['not an address'] }),
      () => encodeNeighbours({ predecessor: '11', successors: Array.from({ length: 32 }, (_, i) => `${20 + i}`) }),
      () => new Uint8Array(20_000),
      () => new Uint8Array(0),
      (request) => request.slice(),
    ];
    for (const liar of liars) {
      const { w, ring, asked } = await beside(liar);
      await w.realm.clock.run(
        ring.lookup(key, { timeoutMs: 10_000 }).catch(() => undefined),
        { limitMs: 20_000 },
      );
      const before = asked();
      await w.rounds(10);
      assert.ok(asked() - before <= 10 * 10, `${asked() - before} requests in ten rounds`);
      await w.realm.clock.run(ring.close());
    }
  });

  it('cannot have themselves named as predecessor where nobody answers, and notify at a bounded rate', async () => {
    const w = new World();
    await w.ring(10, 100);
    const stranger = w.realm.swarm(200);
    const notify = encodeRequest(TAG, { type: 'notify', addr: '99' });
    for (let i = 0; i < 50; i++) void stranger.ask('100', notify).catch(() => undefined);
    await w.rounds(5);
    assert.equal(w.rings.get(100)!.predecessor!.text, '10');
    assert.ok(w.rings.get(100)!.inspect().drops['chord.too_many_notifies']! > 0);
    w.assertRing();
  });

  it('name an address for which the program has no place, and it is not used', async () => {
    const placeOf = ({ text }: MemoryAddr): Uint8Array => {
      if (Number(text) > 255) throw new Error(`no place for ${text}`);
      return Uint8Array.of(Number(text), ...new Uint8Array(31));
    };
    const w = new World();
    w.realm.swarm(200).serve(() => encodeNeighbours({ predecessor: '300', successors: ['301', '10'] }));
    const ring = w.open(10, [], { placeOf });
    const notify = encodeRequest(TAG, { type: 'notify', addr: '200' });
    const named = encodeRequest(TAG, { type: 'notify', addr: '400' });
    for (const request of [notify, named]) await w.realm.clock.run(w.realm.swarm().ask('10', request));
    await w.rounds(5);
    assert.deepEqual(ring.inspect().successors, ['200']);
    assert.ok(ring.inspect().drops['chord.no_place']! >= 2);
    await w.realm.clock.run(ring.close());
  });

  it('that name this node under another address do not become its successors', async () => {
    const w = new World();
    // Both addresses are at the place 10, as those of one PeerID are.
    const placeOf = ({ text }: MemoryAddr): Uint8Array => Uint8Array.of(Number(text) % 100, ...new Uint8Array(31));
    for (const n of [110, 210])
      w.realm.swarm(n).serve(() => encodeNeighbours({ predecessor: undefined, successors: ['110'] }));
    w.realm.swarm(50).serve(() => encodeFound({ kind: 'owners', addrs: ['110', '210'] }));
    const ring = w.open(10, [50], { placeOf });
    await w.rounds(3);
    const notify = encodeRequest(TAG, { type: 'notify', addr: '110' });
    await w.realm.clock.run(w.realm.swarm().ask('10', notify));
    await w.rounds(3);
    assert.deepEqual([ring.inspect().successors, ring.inspect().predecessor], [[], undefined]);
  });

  it('of one network that notify leave room for those of others', () => {
    const node = new ChordNode(0, {
      addr: '10.0.0.1:1',
      idOf: (addr) => new Uint8Array(createHash('sha256').update(addr).digest()),
      tag: TAG,
      maxSuccessors: 2,
      everyMs: 1000,
      callTimeoutMs: 100,
      maxLookups: 4,
    });
    const notify = (addr: string, network: string): void => {
      node.handleRequest({ addr, network }, encodeRequest(TAG, { type: 'notify', addr }));
    };
    for (let i = 0; i < 100; i++) notify(`192.0.2.${i}:1`, '192.0.2.0/24');
    notify('198.51.100.1:1', '198.51.100.0/24');
    const asked: string[] = [];
    for (let out = node.poll(); out.type !== 'wait'; out = node.poll()) {
      if (out.type === 'transmit') asked.push(out.transmit.to);
    }
    assert.deepEqual([asked.length, asked.at(-1)], [5, '198.51.100.1:1']);
  });

  it('of another network, and bytes that are no request, are refused and counted', async () => {
    const w = new World();
    await w.ring(10, 20);
    const stranger = w.open(60, [10], { networkName: 'another' });
    assert.equal(await w.realm.clock.run(stranger.ready), false);
    const bytes = w.realm.swarm(200).ask('10', new Uint8Array(40_000));
    await assert.rejects(w.realm.clock.run(bytes), (error) => P2PError.is(error, 'refused'));
    const { drops } = w.rings.get(10)!.inspect();
    assert.ok(drops['malformed']! >= 1 && drops['oversize'] === 1, JSON.stringify(drops));
    w.rings.delete(60);
    w.assertRing();
  });
});

/** The first 8 bytes of the SHA-256 of `shoal chord`, a zero byte and `test`. */
const TAG = fromHex('3286cb79ecb59aaf');

describe('openChord', () => {
  it('checks its options, and ends everything with close', async () => {
    const w = new World();
    const swarm = w.realm.swarm(1);
    const wrong: [object, RegExp][] = [
      [{ networkName: '' }, /Cannot take networkName: expected 1 to 256 bytes, got 0/],
      [{ networkName: 5 }, /networkName/],
      [{ networkName: 'x', successors: 1 }, /successors: expected 2 to 32/],
      [{ networkName: 'x', upkeepMs: 1 }, /upkeepMs/],
      [{ networkName: 'x', placeOf: 3 }, /placeOf/],
      [{ networkName: 'x', placeOf: () => new Uint8Array(3) }, /placeOf/],
    ];
    wrong.push(
      [{ networkName: 'x', bootstrap: '2' }, /TypeError: Cannot take bootstrap: expected a list of addresses/],
      [{ networkName: 'x', bootstrap: [3] }, /TypeError: Cannot take bootstrap: expected addresses, got 3/],
      [{ networkName: 'x', bootstrap: ['2', 'no address'] }, /TypeError: .*no address/],
    );
    for (const [options, message] of wrong) assert.throws(() => openChord(swarm, options as never), message);
    assert.throws(() => openChord({} as never, { networkName: 'x' }), /Cannot take swarm/);

    const ring = w.open(2, []);
    assert.throws(() => ring.lookup(new Uint8Array(0)), RangeError);
    assert.throws(() => ring.lookup(new Uint8Array(257)), RangeError);
    w.realm.swarm(3); // never answers
    const changes: string[] = [];
    using _ = ring.onNeighbours(() => changes.push('changed'));
    await assert.rejects(ring.join(['no address']), TypeError);
    await assert.rejects(ring.join('3' as never), /TypeError: Cannot take nodes: expected a list of addresses/);
    const joining = ring.join(['3'], { timeoutMs: 60_000 });
    const failed = assert.rejects(joining, (error) => P2PError.is(error, 'unreachable'));
    await w.realm.clock.advance(1000);
    await failed;
    const aborted = ring.join(['3'], { signal: AbortSignal.abort(new Error('stop')) });
    await assert.rejects(aborted, /stop/);
    const pending = assert.rejects(ring.join(['3']), (error) => P2PError.is(error, 'closed'));
    await w.realm.clock.run(ring.close());
    await pending;
    await assert.rejects(ring.lookup(new Uint8Array(1)), (error) => P2PError.is(error, 'closed'));
    assert.deepEqual(await ring.closed, { by: 'local' });
    assert.equal(w.realm.clock.waits.length, 0);
  });

  it('ends a lookup or join for which nobody waits any more', async () => {
    const w = new World();
    const silent = Array.from({ length: 32 }, (_, i) => `${100 + i}`);
    w.realm.swarm(200).serve(() => encodeFound({ kind: 'closer', addrs: silent }));
    const ring = w.open(10, [], { upkeepMs: 60_000, callTimeoutMs: 1000, maxLookups: 2 });
    const tooMany = (error: unknown): boolean => P2PError.is(error, 'limit_exceeded');
    const aborted = new AbortController();
    const joins = [ring.join(['200'], { timeoutMs: 100 }), ring.join(['200'], { signal: aborted.signal })];
    await assert.rejects(ring.join(['200']), tooMany);
    await assert.rejects(ring.lookup(Uint8Array.of(1)), tooMany);
    const ends = Promise.allSettled(joins);
    aborted.abort(new Error('enough'));
    await w.realm.clock.run(ends);
    await w.realm.clock.advance(2500);
    assert.equal(ring.inspect().lookups, 0);
    const { owner } = await w.realm.clock.run(ring.lookup(Uint8Array.of(1)));
    assert.equal(owner.text, '10');
    const never = ring.join(['200'], { signal: AbortSignal.abort(new Error('before')) });
    await assert.rejects(never, /before/);
    assert.equal(ring.inspect().lookups, 0);
  });

  it('refuses lookups beyond its limit', async () => {
    const w = new World();
    await w.ring(10, 200);
    const ring = w.open(60, [10], { maxLookups: 2 });
    await w.rounds(10);
    w.realm.cut();
    const lookups = Array.from({ length: 3 }, (_, i) => ring.lookup(Uint8Array.of(i), { timeoutMs: 500 }));
    const ends = await w.realm.clock.run(Promise.allSettled(lookups));
    const limited = ends.filter((end) => end.status === 'rejected' && P2PError.is(end.reason, 'limit_exceeded'));
    assert.ok(limited.length <= 1);
  });
});
