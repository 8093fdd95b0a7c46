/** Properties of the machine, for any order of inputs. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, CANDIDATE_FAULTS } from '../../../src/core/candidate.ts';
import * as fc from '../../support/fast-check.ts';
import { candidate, idOf, World } from './bootstrap-world.ts';

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
