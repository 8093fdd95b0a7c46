/** Thirty peers behind the published mix of NATs, with one helper in common: everybody talks with everybody. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { type CrowdPair, meetAll } from '../support/nat-crowd.ts';

before(() => loadQuicEngine());

/** Whether a random port has to be found by trying: a node does that for one peer at a time, so it takes long where many want it. */
const isSearched = ({ a, b, isPossible }: CrowdPair): boolean => isPossible && (a === 'random' || b === 'random');

describe('thirty peers behind the published mix of NATs', () => {
  it('all pairs are answered within a second, and what can be direct without a search is', async () => {
    const pairs = await meetAll({ peers: 30, partners: 29, seed: 1, everyMs: 3000, settleMs: 60_000 });
    assert.equal(pairs.length, (30 * 29) / 2);
    for (const { a, b, firstMs } of pairs) {
      assert.ok(firstMs !== undefined && firstMs <= 1000, `${a} to ${b}: ${firstMs} ms`);
    }
    for (const pair of pairs) {
      const { a, b, isPossible, directMs, why } = pair;
      if (!isSearched(pair)) assert.equal(directMs !== undefined, isPossible, `${a} to ${b}: ${why}`);
    }
    // Some of the searches have ended, too.
    assert.ok(pairs.some((pair) => isSearched(pair) && pair.directMs !== undefined));
  });
});
