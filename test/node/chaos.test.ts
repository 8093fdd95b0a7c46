/** Chaos in virtual time: minutes of it in a moment, and the same run for the same seed. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type ChaosReport, runChaos } from './chaos.ts';
import { World } from '../support/node-world.ts';

async function chaos(seed: number, durationMs: number): Promise<ChaosReport> {
  const world = new World({ seed, latencyMs: 3, windowBytes: 20_000 });
  const report = await world.run(
    runChaos({
      world: {
        node: (options) => world.node(options),
        pause: (ms) => new Promise((resolve) => void world.clock.setTimer(world.clock.nowMs() + ms, resolve)),
        nowMs: () => world.clock.nowMs(),
      },
      seed,
      durationMs,
      workers: 12,
      maxNodes: 16,
      actionLimitMs: 10_000,
    }),
  );
  assert.equal(world.realm.clock.waits.length, 0);
  return report;
}

describe('chaos in virtual time', () => {
  it('ten seconds of it: everything balances, and a lot has happened', async () => {
    const { log, actions, ...report } = await chaos(1, 10_000);
    assert.ok(report.connected > 150 && report.received > 300 && report.spawned > 20, JSON.stringify(report));
    assert.ok(Object.keys(actions).length >= 8);
    assert.ok(log.length > 2000);
  });

  it('a seed replays its run, event for event; another seed has another', async () => {
    const [first, second, other] = [await chaos(7, 3000), await chaos(7, 3000), await chaos(8, 3000)];
    assert.deepEqual(second, first);
    assert.notDeepEqual(other.log, first.log);
  });
});
