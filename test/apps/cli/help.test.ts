import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, it } from 'node:test';
import { shoal } from './command.ts';

const root = path.join(import.meta.dirname, '..', '..', '..');

const COMMANDS =
  'keygen id listen tell ask ping bench send receive pipe chat nat discover peers explain relay demo'.split(' ');

describe('shoal --help', { concurrency: 2 }, () => {
  it('lists the commands, with examples', async () => {
    const { code, stdout, stderr } = await shoal(['--help']);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    for (const command of COMMANDS) {
      assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
    }
    assert.match(stdout, /Examples:\n {2}\$ shoal keygen/);
  });

  it('explains each command, and the layers where there are any', async () => {
    for (const command of COMMANDS) {
      const { code, stdout } = await shoal([command, '--help']);
      assert.equal(code, 0);
      assert.match(stdout, /--json/);
      assert.match(stdout, /Examples:\n/);
      if (['listen', 'tell', 'ask', 'ping', 'bench'].includes(command))
        assert.match(stdout, /Layers of --stack:\n {2}udp +/);
    }
  });

  it('says its version, and where to look when nothing is near to what was meant', async () => {
    const { code, stdout } = await shoal(['--version']);
    assert.deepEqual([code, /^\d+\.\d+\.\d+\n$/.test(stdout)], [0, true]);
    const { stderr } = await shoal(['frobnicate']);
    assert.equal(stderr, "shoal: unknown command 'frobnicate'; --help lists what there is\n");
  });

  it('says how it is used when it is given nothing', async () => {
    const { code, stderr } = await shoal([]);
    assert.equal(code, 2);
    assert.match(stderr, /Usage: shoal/);
  });
});

describe('npx shoal', () => {
  it('runs from a clone through the launcher', () => {
    const bin = path.join(root, 'apps', 'cli', 'bin', 'shoal.mjs');
    const { status, stdout } = spawnSync(process.execPath, [bin, 'listen', '--help'], { encoding: 'utf8', cwd: '/' });
    assert.equal(status, 0);
    assert.match(stdout, /^Usage: shoal listen/);
  });
});
