import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';

import { openCells } from '../../src/cells/open-cells.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import { KilledWriters } from './killed-writers.ts';

/** Kills of a writer; SHOAL_CELL_KILLS=200 for a longer run. */
const KILLS = Number(process.env['SHOAL_CELL_KILLS'] ?? 15);
const WRITERS = ['a', 'b', 'c'];

describe('cells on disk', () => {
  for (const [kind, placeIn] of [
    ['files', (folder: string): string => `file:${folder}`],
    ['sqlite', (folder: string): string => `sqlite:${path.join(folder, 'cells.db')}`],
  ] as const) {
    it(
      `keep every acknowledged swap, once, when a writer is killed at any moment: ${kind}`,
      { timeout: 300_000 },
      async () => {
        const folder = mkdtempSync(path.join(tmpdir(), 'shoal-killed-'));
        const place = placeIn(folder);
        try {
          await using store = await openCells(place);
          await using writers = new KilledWriters(place, 'cell');
          await Promise.all(WRITERS.map((name) => writers.start(name)));
          const random = createSeededRandom(`${kind} ${Date.now()}`);
          // While one is replaced, the others write.
          const kill = async (name: string, times: number): Promise<void> => {
            for (let i = 0; i < times; i++) {
              await writers.progress(1);
              await new Promise((resolve) => setTimeout(resolve, random.next() * 20));
              await writers.kill(name);
              await writers.start(name);
            }
          };
          for (let i = 0; i < KILLS; i++) await kill(WRITERS[i % WRITERS.length]!, 1);
          await writers.progress(10);
          await writers.judge(store);
          assert.ok(writers.acknowledged >= KILLS);
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      },
    );
  }
});
