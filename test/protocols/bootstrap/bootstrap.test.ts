/** The machine alone: what it asks, dials and says, at which time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, CANDIDATE_FAULTS, type CandidateFault } from '../../../src/core/candidate.ts';
import { type PeerId } from '../../../src/core/peer-id.ts';
import { peerIdOfKey } from '../../../src/identity/keys.ts';
import {
  type AttemptOutcome,
  Bootstrap,
  type BootstrapEvent,
  type BootstrapMachineOptions,
  type BootstrapResult,
  type BootstrapTransmit,
} from '../../../src/protocols/bootstrap/bootstrap.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import * as fc from '../../support/fast-check.ts';

const IDS = Array.from({ length: 13 }, (_, i) => peerIdOfKey(testKey(i).publicKey));
const idOf = (i: number): PeerId => IDS[i]!;
const candidate = (addr: string, source = 'cache', id?: PeerId): Candidate => ({
  id,
  addr,
  source,
  seenMs: 0,
  expiresMs: Infinity,
});

/** A machine, what it did, and a clock that goes from deadline to deadline. */
class World {
  nowMs = 0;
  readonly machine: Bootstrap;
  readonly log: { readonly atMs: number; readonly what: BootstrapTransmit }[] = [];
  readonly events: BootstrapEvent[] = [];
  until: number | undefined;
  #react: ((transmit: BootstrapTransmit) => void) | undefined;

  constructor(options: Partial<BootstrapMachineOptions> = {}, react?: (world: World, what: BootstrapTransmit) => void) {
    this.#react = react === undefined ? undefined : (what) => react(this, what);
    this.machine = new Bootstrap(0, {
      sources: [{ name: 'cache', afterMs: 0 }],
      screen: () => undefined,
      minPeers: 3,
      staggerMs: 200,
      maxParallel: 8,
      attemptTimeoutMs: 5000,
      sourceTimeoutMs: 10_000,
      maxCandidates: 256,
      ...options,
    });
    this.poll();
  }

  poll(): void {
    for (;;) {
      const output = this.machine.poll();
      if (output.type === 'wait') {
        this.until = output.until;
        return;
      }
      if (output.type === 'event') this.events.push(output.event);
      else {
        this.log.push({ atMs: this.nowMs, what: output.transmit });
        this.#react?.(output.transmit);
      }
    }
  }

  advance(toMs: number): void {
    while (this.until !== undefined && this.until <= toMs) {
      this.nowMs = Math.max(this.nowMs, this.until);
      this.machine.handleTimeout(this.nowMs);
      this.poll();
    }
    this.nowMs = toMs;
  }

  add(source: number, ...candidates: Candidate[]): void {
    for (const each of candidates) this.machine.addCandidate(this.nowMs, source, each);
    this.poll();
  }

  finish(source: number, cause?: unknown): void {
    this.machine.sourceFinished(this.nowMs, source, cause === undefined ? undefined : { cause });
    this.poll();
  }

  end(attempt: number, outcome: AttemptOutcome): void {
    this.machine.attemptEnded(this.nowMs, attempt, outcome);
    this.poll();
  }

  get dials(): { readonly atMs: number; readonly addr: string; readonly attempt: number }[] {
    return this.log.flatMap(({ atMs, what }) =>
      what.type === 'dial' ? [{ atMs, addr: what.candidate.addr, attempt: what.attempt }] : [],
    );
  }

  get asked(): [number, number][] {
    return this.log.flatMap(({ atMs, what }) => (what.type === 'ask' ? [[atMs, what.source]] : []));
  }

  get givenUp(): number[] {
    return this.log.flatMap(({ what }) => (what.type === 'give_up' ? [what.attempt] : []));
  }

  result(): BootstrapResult | undefined {
    return this.machine.result;
  }
}

const THREE = [
  { name: 'cache', afterMs: 0 },
  { name: 'lan', afterMs: 0 },
  { name: 'contacts', afterMs: 2000 },
];

describe('a bootstrap', () => {
  it('dials the candidates 200 ms apart, at most eight at once', () => {
    const world = new World();
    world.add(0, ...Array.from({ length: 20 }, (_, i) => candidate(`10.0.0.${i}:5000`)));
    world.advance(4999);
    assert.deepEqual(
      world.dials.map(({ atMs }) => atMs),
      [0, 200, 400, 600, 800, 1000, 1200, 1400],
    );
    world.advance(5000);
    assert.deepEqual(world.givenUp, [0]);
    assert.equal(world.dials.length, 9);
  });

  it('dials eight at once when no pause between attempts is wanted', () => {
    const world = new World({ staggerMs: 0 });
    world.add(0, ...Array.from({ length: 20 }, (_, i) => candidate(`10.0.0.${i}:5000`)));
    assert.deepEqual(
      world.dials.map(({ atMs }) => atMs),
      Array(8).fill(0),
    );
    world.end(0, { fault: 'unreachable' });
    assert.equal(world.dials.length, 9);
  });

  it('reports the first peer at once, goes on quietly to three, and gives the rest up', () => {
    const world = new World();
    world.add(0, ...Array.from({ length: 20 }, (_, i) => candidate(`10.0.0.${i}:5000`)));
    world.advance(1500);
    world.end(3, { peer: idOf(3) });
    assert.deepEqual(world.events.at(-1), {
      type: 'connected',
      isFirst: true,
      peer: { id: idOf(3), candidate: candidate('10.0.0.3:5000'), afterMs: 1500 },
    });
    assert.equal(world.result(), undefined);
    world.end(0, { peer: idOf(0) });
    world.end(1, { peer: idOf(1) });
    assert.deepEqual(
      world.result()?.peers.map(({ id }) => id),
      [3, 0, 1].map(idOf),
    );
    // A dial followed each outcome, 200 ms after the last one at the earliest.
    assert.deepEqual(
      world.givenUp.toSorted((a, b) => a - b),
      [2, 4, 5, 6, 7],
    );
    assert.equal(world.until, undefined);
    assert.deepEqual(world.result()?.sources, [{ name: 'cache', state: 'stopped', candidates: 20, omitted: 0 }]);
  });

  it('asks the cache and the LAN first, and contacts two seconds later', () => {
    const world = new World({ sources: THREE });
    world.add(0, candidate('10.0.0.1:5000'));
    world.advance(5000);
    assert.deepEqual(world.asked, [
      [0, 0],
      [0, 1],
      [2000, 2],
    ]);
  });

  it('asks contacts before their time when nothing else is left to try', () => {
    const world = new World({ sources: THREE });
    world.add(0, candidate('10.0.0.1:5000'));
    world.finish(0);
    world.finish(1);
    world.advance(100);
    assert.equal(world.asked.length, 2);
    world.end(0, { fault: 'unreachable' });
    assert.deepEqual(world.asked.at(-1), [100, 2]);
  });

  it('asks a source whose time has come before one that must wait, wherever they stand', () => {
    const world = new World({
      sources: [
        { name: 'contacts', afterMs: 2000 },
        { name: 'cache', afterMs: 0 },
        { name: 'more contacts', afterMs: 3000 },
      ],
    });
    assert.deepEqual(world.asked, [[0, 1]]);
    world.finish(1);
    assert.deepEqual(world.asked.at(-1), [0, 0]);
    world.advance(5000);
    assert.deepEqual(world.asked.at(-1), [3000, 2]);
  });

  it('asks no contacts when the others have found enough peers', () => {
    const world = new World({ sources: THREE, minPeers: 1 });
    world.add(0, candidate('10.0.0.1:5000'));
    world.advance(500);
    world.end(0, { peer: idOf(1) });
    assert.deepEqual(
      world.result()?.sources.map(({ state }) => state),
      ['stopped', 'stopped', 'not_asked'],
    );
    assert.equal(world.until, undefined);
  });

  for (const found of [0, 1, 2, 3]) {
    it(`is ready with ${found} peers when there are no more`, () => {
      const world = new World({ sources: THREE });
      for (let i = 0; i < 3; i++) world.add(i, candidate(`10.0.0.${i}:5000`, THREE[i]!.name));
      for (let i = 0; i < 3; i++) world.finish(i);
      world.advance(2000);
      world.finish(2);
      for (let i = 0; i < 3; i++) {
        assert.equal(world.result(), undefined);
        world.end(i, i < found ? { peer: idOf(i) } : { fault: 'unreachable' });
      }
      assert.deepEqual([world.result()?.peers.length, world.result()?.refused.length], [found, 3 - found]);
    });
  }

  it('is ready at once without sources, and without candidates', () => {
    assert.deepEqual(new World({ sources: [] }).result(), { peers: [], refused: [], sources: [], tookMs: 0 });
    const world = new World();
    world.finish(0);
    assert.deepEqual(world.result()?.sources, [{ name: 'cache', state: 'answered', candidates: 0, omitted: 0 }]);
  });

  it('does not wait longer than ten seconds for a source, and says so', () => {
    const world = new World({ sources: THREE });
    world.finish(0);
    world.advance(9999);
    assert.equal(world.result(), undefined);
    world.finish(2, new Error('no resolver'));
    world.advance(10_000);
    assert.deepEqual(
      world.result()?.sources.map(({ state }) => state),
      ['answered', 'timed_out', 'failed'],
    );
    assert.equal(world.result()?.tookMs, 10_000);
  });

  it('waits for a source as long as that source is given, where it says so', () => {
    const world = new World({ sources: [{ name: 'lan', afterMs: 0, timeoutMs: 2000 }] });
    world.advance(1999);
    assert.equal(world.result(), undefined);
    world.advance(2000);
    assert.deepEqual(world.result()?.sources[0]?.state, 'timed_out');
  });

  it('does not let silent candidates of the cache keep out those of the LAN and of contacts', () => {
    const world = new World({ sources: THREE });
    world.add(0, ...Array.from({ length: 200 }, (_, i) => candidate(`10.0.1.${i}:5000`)));
    world.advance(1000);
    world.add(1, candidate('lan:1', 'lan'));
    world.advance(2000);
    world.add(2, candidate('contact:1', 'contacts'));
    world.advance(2600);
    const dialled = world.dials.map(({ addr }) => addr);
    assert.ok(dialled.includes('lan:1') && dialled.includes('contact:1'), dialled.join(' '));
  });

  it('dials an address that two sources name once, and a peer that is connected no more', () => {
    const world = new World({ sources: THREE });
    world.add(0, candidate('a', 'cache', idOf(1)), candidate('b', 'cache', idOf(1)), candidate('d', 'cache', idOf(1)));
    world.add(1, candidate('a', 'lan', idOf(1)), candidate('c', 'lan', idOf(1)));
    world.advance(200);
    assert.equal(world.dials.length, 2);
    world.end(0, { peer: idOf(1) });
    world.add(1, candidate('e', 'lan', idOf(1)));
    world.advance(12_000);
    assert.deepEqual([world.dials.length, world.givenUp], [2, [1]]);
    assert.deepEqual(world.result()?.peers.length, 1);
    assert.deepEqual(world.result()?.refused, []);
  });

  it('counts a peer once that answers at two addresses', () => {
    const world = new World({ minPeers: 2 });
    world.add(0, candidate('a'), candidate('b'));
    world.finish(0);
    world.advance(400);
    world.end(0, { peer: idOf(1) });
    world.end(1, { peer: idOf(1) });
    assert.equal(world.result()?.peers.length, 1);
  });

  it('refuses by the blacklist what any source names, and who answers elsewhere', () => {
    const screen = ({ id, addr }: Candidate): CandidateFault | undefined =>
      id === idOf(7) || addr === 'bad' ? 'blacklisted' : id === idOf(8) ? 'self' : undefined;
    const world = new World({ sources: THREE, screen });
    for (let i = 0; i < 3; i++) {
      world.add(i, candidate('bad', THREE[i]!.name, idOf(i)), candidate(`good ${i}`, THREE[i]!.name));
    }
    world.advance(400);
    world.end(0, { peer: idOf(7) });
    world.end(1, { peer: idOf(8) });
    assert.deepEqual(world.givenUp, [0, 1]);
    assert.deepEqual(
      world.events.flatMap((event) => (event.type === 'refused' ? [event.refused.reason] : [])),
      ['blacklisted', 'blacklisted', 'blacklisted', 'blacklisted', 'self'],
    );
  });

  it('gives one readable reason for each refused candidate', () => {
    const world = new World();
    const faults = CANDIDATE_FAULTS.filter((fault) => fault !== 'silent');
    world.add(0, ...faults.map((_, i) => candidate(`10.0.0.1:${5000 + i}`, 'contacts', idOf(i))));
    world.add(0, candidate('10.0.0.9:1', 'contacts'));
    world.finish(0);
    world.advance(1400);
    for (const [i, fault] of faults.entries()) {
      world.end(i, { fault, detail: fault === 'denied' ? 'too \u001b[31m many\u202e peers' : undefined });
    }
    world.advance(6400);
    assert.deepEqual(
      world
        .result()
        ?.refused.map(({ text }) => text.replace(/^.*@/, ''))
        .toSorted(),
      [
        '10.0.0.1:5000 (contacts) is this node',
        '10.0.0.1:5001 (contacts) is on the blacklist',
        '10.0.0.1:5002 (contacts) is not allowed',
        '10.0.0.1:5003 (contacts) denied the connection: too \ufffd[31m many\ufffd peers',
        '10.0.0.1:5004 (contacts) belongs to another network',
        '10.0.0.1:5005 (contacts) has another key',
        '10.0.0.1:5006 (contacts) is unreachable',
        '10.0.0.9:1 (contacts) is silent: no answer in 5000 ms',
      ],
    );
    assert.ok(world.result()?.refused[0]?.text.startsWith(`${idOf(0)}@`));
  });

  it('takes another key than the candidate names for a wrong one, and closes what came of it', () => {
    const world = new World();
    world.add(0, candidate('a', 'contacts', idOf(1)));
    world.finish(0);
    world.end(0, { peer: idOf(2) });
    assert.deepEqual([world.givenUp, world.result()?.refused[0]?.reason], [[0], 'wrong_key']);
  });

  it('considers 256 candidates of a source, and counts the others', () => {
    const world = new World();
    world.add(0, ...Array.from({ length: 1000 }, (_, i) => candidate(`a ${i}`)));
    world.machine.stop(0);
    assert.deepEqual(world.result()?.sources, [{ name: 'cache', state: 'stopped', candidates: 256, omitted: 744 }]);
  });

  it('ends where it is told to, and then does nothing more, whatever comes', () => {
    const world = new World();
    world.add(0, candidate('a'), candidate('b'));
    world.machine.stop(0);
    world.poll();
    const before = [world.log.length, world.events.length];
    world.add(0, candidate('c'));
    world.finish(0);
    world.end(0, { peer: idOf(1) });
    world.machine.stop(1);
    world.machine.handleTimeout(1e9);
    world.poll();
    assert.deepEqual([world.log.length, world.events.length], before);
    assert.deepEqual(world.result()?.peers, []);
  });
});

describe('any bootstrap', () => {
  const action = fc.record({
    kind: fc.constantFrom('add', 'add', 'add', 'finish', 'end', 'end', 'wait'),
    source: fc.nat(3),
    n: fc.nat(40),
    peer: fc.nat(12),
    fault: fc.constantFrom(undefined, undefined, ...CANDIDATE_FAULTS),
    ms: fc.nat(3000),
  });

  it('keeps its bounds, gives each dialled candidate one outcome, and ends', () => {
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 200 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(4),
        (actions, minPeers, maxParallel, sources) => {
          const running = new Map<number, Candidate>();
          const firsts: boolean[] = [];
          const world = new World(
            {
              minPeers,
              maxParallel,
              maxCandidates: 20,
              sources: Array.from({ length: sources }, (_, i) => ({ name: `s${i}`, afterMs: 700 * i })),
              screen: ({ id }) => (id === idOf(11) ? 'blacklisted' : undefined),
            },
            (_, what) => {
              if (what.type === 'dial') {
                assert.ok(!running.has(what.attempt));
                running.set(what.attempt, what.candidate);
                assert.ok(running.size <= maxParallel);
              } else if (what.type === 'give_up') running.delete(what.attempt);
            },
          );
          for (const { kind, source, n, peer, fault, ms } of actions) {
            const attempt = [...running.keys()][n % Math.max(1, running.size)];
            if (kind === 'add')
              world.add(source, candidate(`addr ${n}`, `s${source}`, n % 3 === 0 ? undefined : idOf(peer)));
            else if (kind === 'finish') world.finish(source);
            else if (kind === 'wait') world.advance(world.nowMs + ms);
            else if (attempt !== undefined) {
              const { id } = running.get(attempt)!;
              running.delete(attempt);
              world.end(attempt, fault === undefined ? { peer: id ?? idOf(peer) } : { fault });
            }
            assert.ok(
              (world.result() === undefined) === (world.until !== undefined),
              'it waits exactly while it has no result',
            );
          }
          world.advance(world.nowMs + 100_000);
          const result = world.result();
          assert.ok(result !== undefined, 'it ended');
          const dials = world.dials.map(({ atMs }) => atMs);
          for (const [i, atMs] of dials.entries()) assert.ok(i === 0 || atMs - dials[i - 1]! >= 200);
          assert.ok(result.peers.length <= minPeers);
          assert.equal(new Set(result.peers.map(({ id }) => id)).size, result.peers.length);
          assert.ok(result.peers.every(({ id }) => id !== idOf(11)));
          const keys = result.refused.map(({ candidate: { id, addr } }) => `${id} ${addr}`);
          assert.equal(new Set(keys).size, keys.length, 'one reason each');
          for (const event of world.events) if (event.type === 'connected') firsts.push(event.isFirst);
          assert.ok(firsts.every((isFirst, i) => isFirst === (i === 0)));
          assert.equal(world.events.filter(({ type }) => type === 'ready').length, 1);
          for (const { candidates } of result.sources) assert.ok(candidates <= 20);
        },
      ),
      { numRuns: 500, seed: 17 },
    );
  });
});
