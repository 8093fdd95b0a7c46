/**
 * Chaos on real sockets: thirty seconds, or as many as SHOAL_CHAOS_SECONDS says, in rounds of ten; SHOAL_CHAOS_SEED begins
 * with another seed. What each worker does comes from the seed, when it does it from the system.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { watchLeaks } from '../../src/testing/leaks.ts';
import { runChaos } from '../node/chaos.ts';
import { LOOPBACK, unopened } from './nodes.ts';

const ROUND_MS = 9000;
const seconds = Number(process.env['SHOAL_CHAOS_SECONDS'] ?? 27);
const firstSeed = Number(process.env['SHOAL_CHAOS_SEED'] ?? 1);

describe('chaos on real sockets', () => {
  for (let round = 0; round * ROUND_MS < seconds * 1000; round++) {
    const seed = firstSeed + round;
    it(`seed ${seed}: everything balances, nothing is left`, async () => {
      const watch = watchLeaks();
      const report = await runChaos({
        world: {
          node: (options) => unopened({ ...options, bind: LOOPBACK }),
          pause: (ms) => (ms === 0 ? new Promise((resolve) => setImmediate(resolve)) : delay(ms)),
          nowMs: () => performance.now(),
        },
        seed,
        durationMs: Math.min(ROUND_MS, seconds * 1000 - round * ROUND_MS),
        workers: 16,
        maxNodes: 32,
        actionLimitMs: 30_000,
      });
      assert.ok(report.connected > 50, JSON.stringify({ ...report, log: undefined }));
      for (let i = 0; i < 50 && (await watch.leaks()).resources.length > 0; i++) await delay(20);
      const { resources } = await watch.leaks();
      assert.deepEqual(resources, []);
    });
  }
});
