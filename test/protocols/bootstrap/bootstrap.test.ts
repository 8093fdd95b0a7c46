/** The machine alone: what it asks, dials and says, at which time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, CANDIDATE_FAULTS, type CandidateFault } from '../../../src/core/candidate.ts';
import { candidate, idOf, World } from './bootstrap-world.ts';

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
