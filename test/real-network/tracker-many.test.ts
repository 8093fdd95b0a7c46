import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const BENCH = path.join(import.meta.dirname, '..', '..', 'bench', 'tracker-many.ts');
/** SHOAL_TRACKER_PEERS=10000 for as many as the bench has. */
const PEERS = process.env['SHOAL_TRACKER_PEERS'] ?? '300';

describe('a tracker with many peers', () => {
  const skip = existsSync('/proc/self/status') ? false : 'memory of another process is read from /proc';

  it('finds each of them, within a bound of memory', { skip, timeout: 300_000 }, () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--conditions=shoal-source', BENCH, '--peers', PEERS],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, / 0 of \d+ not found\n/);
  });
});
