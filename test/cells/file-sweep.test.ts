import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';

import { openFileCells } from '../../src/cells/file.ts';

it('goes on to remove expired files with each write, so that files do not come faster than they go', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-sweep-'));
  try {
    for (let i = 0; i < 1100; i++) {
      const file = path.join(folder, `old-${i}.cell`);
      writeFileSync(file, 'x');
      utimesSync(file, 1, 1);
    }
    await using store = await openFileCells(folder, { expireMs: 3_600_000 });
    const left = (): number => readdirSync(folder).filter((name) => name.startsWith('old-')).length;
    let value = new Uint8Array(0);
    for (let i = 0; i < 5000 && left() > 0; i++) {
      const next = Uint8Array.of(1, i >> 8, i & 255);
      assert.ok((await store.cas('new', value, next)).swapped);
      value = next;
    }
    assert.equal(left(), 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
