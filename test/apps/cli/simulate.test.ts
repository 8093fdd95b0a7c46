import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { assertFails, shoal } from './command.ts';

const RING = path.join(import.meta.dirname, 'simulations', 'ring.ts');
const folder = mkdtempSync(path.join(tmpdir(), 'shoal-simulate-'));
after(() => rmSync(folder, { recursive: true, force: true }));

describe('shoal simulate', () => {
  it('runs a module, and shows figures in words and as JSON', async () => {
    const words = await shoal(['simulate', RING]);
    assert.equal(words.code, 0, words.stderr);
    assert.match(words.stdout, /^ring: 10 nodes, seed 0, 6\.0 virtual s in [\d.]+ s$/m);
    assert.match(words.stdout, /^passed: \d+$/m);
    assert.match(words.stdout, /^turn: median/m);
    const { code, events } = await shoal([
      'simulate',
      RING,
      '--json',
      '--seed',
      '4',
      '--nodes',
      '3',
      '--duration',
      '1.5',
    ]);
    assert.equal(code, 0);
    const result = events.find(({ event }) => event === 'simulation')!;
    assert.deepEqual([result['seed'], result['nodes'], result['durationMs'], result['isOk']], ['4', 3, 1500, true]);
  });

  it('fails with the seed, and repeats the same run', async () => {
    const first = await shoal(['simulate', RING, '--json', '--seed', '3']);
    const second = await shoal(['simulate', RING, '--json', '--seed', '3']);
    assertFails(first, 1, /failed after 600\d ms \(liveness\): the ring stands still/);
    const hashOf = (run: typeof first): unknown => run.events.find(({ event }) => event === 'simulation')!['traceHash'];
    assert.equal(hashOf(first), hashOf(second));
  });

  it('tries seeds until one fails, makes it small, and says how to repeat it', async () => {
    const found = await shoal(['simulate', RING, '--until-failure']);
    assertFails(found, 1, /Again with --seed 3 --nodes 5 --duration 0\.001/);
    assert.match(found.stdout, /^seed 2, 10 nodes, 5 s: passes$/m);
    const passed = await shoal(['simulate', RING, '--until-failure', '--seeds', '3']);
    assert.equal(passed.code, 0);
    assert.match(passed.stdout, /3 seeds pass, from 0 on/);
  });

  it('runs twice, writes the trace and draws metrics', async () => {
    const trace = path.join(folder, 'trace.jsonl');
    const svg = path.join(folder, 'load.svg');
    const { code, stdout, stderr } = await shoal([
      'simulate',
      RING,
      '--twice',
      '--trace',
      trace,
      '--svg',
      `messages/s=${svg}`,
      `turn=${path.join(folder, 'turn.svg')}`,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Both runs are the same: [0-9a-f]{16}/);
    const lines = readFileSync(trace, 'utf8').trimEnd().split('\n');
    assert.deepEqual(JSON.parse(lines[0]!), { atMs: 0, type: 'opened', text: '0' });
    assert.ok(lines.length > 1000);
    assert.match(readFileSync(svg, 'utf8'), /^<svg/);
  });

  it('fails for a file that is no simulation, and for wrong options', async () => {
    const other = path.join(folder, 'other.js');
    writeFileSync(other, 'export default 5;');
    const wrong = path.join(folder, 'wrong.js');
    writeFileSync(wrong, 'export default { nodes: 0, durationMs: 5, open() {} };');
    assertFails(await shoal(['simulate', path.join(folder, 'none.js')]), 1, /Cannot load/);
    assertFails(await shoal(['simulate', other]), 2, /has to export the options of simulate/);
    assertFails(await shoal(['simulate', wrong]), 2, /Cannot take nodes: expected 1 to 1000000, got 0/);
    assertFails(await shoal(['simulate', RING, '--twice', '--until-failure']), 2, /exclude each other/);
    assertFails(await shoal(['simulate', RING, '--svg', 'messages']), 2, /expected METRIC=FILE/);
    assertFails(
      await shoal(['simulate', RING, '--svg', `nothing=${folder}/x.svg`]),
      2,
      /the simulation has .*messages/,
    );
    assertFails(await shoal(['simulate', RING, '--trace', `${folder}/no/where`]), 1, /Cannot write/);
    assertFails(await shoal(['simulate', RING, '--duration', '-1']), 2, /above 0/);
  });
});
