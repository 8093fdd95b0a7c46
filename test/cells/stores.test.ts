import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';

import type { Cell, CellStore } from '../../src/cells/cell.ts';
import { openFileCells } from '../../src/cells/file.ts';
import { httpCell } from '../../src/cells/http-cell.ts';
import { cellHandler } from '../../src/cells/http-handler.ts';
import { createMemoryCells } from '../../src/cells/memory.ts';
import { sealed } from '../../src/cells/sealed.ts';
import { signed } from '../../src/cells/signed.ts';
import { openSqliteCells } from '../../src/cells/sqlite.ts';
import { generateKey } from '../../src/identity/keys.ts';
import { type CellFixture, cellSuite } from '../../src/testing/suites/cells.ts';
import { handlerFetch } from '../support/handler-fetch.ts';

const runner = { describe, it };

/** Handles that each open the store anew, on one folder. */
function onDisk(open: (folder: string) => Promise<CellStore>): CellFixture {
  return {
    make: async (n) => {
      const folder = mkdtempSync(path.join(tmpdir(), 'shoal-cells-'));
      const stores = await Promise.all(Array.from({ length: Math.max(n, 1) }, () => open(folder)));
      return {
        cells: stores.map((store) => store.cell('a')),
        other: stores[0]!.cell('b'),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(stores.map((store) => store.close()));
          rmSync(folder, { recursive: true });
        },
      };
    },
    manyCalls: 15,
  };
}

function inMemory(wrap: (cell: Cell) => Cell, store: () => CellStore = () => createMemoryCells()): CellFixture {
  return {
    make: (n) => {
      const cells = store();
      return Promise.resolve({
        cells: Array.from({ length: n }, () => wrap(cells.cell('a'))),
        other: wrap(cells.cell('b')),
        [Symbol.asyncDispose]: () => cells.close(),
      });
    },
  };
}

cellSuite(
  runner,
  'memory',
  inMemory((cell) => cell),
);
cellSuite(
  runner,
  'memory with a time limit',
  inMemory(
    (cell) => cell,
    () => createMemoryCells({ expireMs: 60_000 }),
  ),
);
cellSuite(
  runner,
  'files',
  onDisk((folder) => openFileCells(folder)),
);
cellSuite(
  runner,
  'files with a time limit',
  onDisk((folder) => openFileCells(folder, { expireMs: 60_000 })),
);
cellSuite(
  runner,
  'sqlite',
  onDisk((folder) => openSqliteCells(path.join(folder, 'cells.db'))),
);
cellSuite(
  runner,
  'sqlite with a time limit',
  onDisk((folder) => openSqliteCells(path.join(folder, 'cells.db'), { expireMs: 60_000 })),
);

const privateKey = generateKey();
const key = new Uint8Array(32).fill(7);
cellSuite(
  runner,
  'signed memory',
  inMemory((cell) => signed(cell, { privateKey })),
);
cellSuite(
  runner,
  'sealed memory',
  inMemory((cell) => sealed(cell, { key })),
);
cellSuite(
  runner,
  'sealed and signed memory',
  inMemory((cell) => sealed(signed(cell, { privateKey }), { key })),
);
cellSuite(runner, 'http over memory', {
  make: (n) => {
    const store = createMemoryCells();
    const fetch = handlerFetch(cellHandler(store));
    const cellAt = (name: string): Cell => httpCell(`http://cells.test/${name}`, { fetch });
    return Promise.resolve({
      cells: Array.from({ length: n }, () => cellAt('a')),
      other: cellAt('b'),
      [Symbol.asyncDispose]: () => store.close(),
    });
  },
});
