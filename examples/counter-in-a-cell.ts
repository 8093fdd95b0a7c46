/** A counter that several programs change at the same time, in SQLite: each change is made once, and none is lost. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { decodeText, encodeText } from 'shoal/bytes';
import { apply, openSqliteCells } from 'shoal/cell';

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-cells-'));
// In a real program each of these is a process of its own, maybe on one file.
const stores = await Promise.all([1, 2, 3].map(() => openSqliteCells(path.join(folder, 'cells.db'))));

const count = (current: Uint8Array): Uint8Array => encodeText(String(Number(decodeText(current)) + 1));
await Promise.all(
  stores.map(async (store) => {
    const cell = store.cell('visits');
    for (let i = 0; i < 20; i++) await apply(cell, count, { maxAttempts: 100 });
  }),
);

const visits = decodeText(await stores[0]!.get('visits'));
console.log(`${visits} visits`);
if (visits !== '60') throw new Error('a change was lost');
await Promise.all(stores.map((store) => store.close()));
rmSync(folder, { recursive: true });
