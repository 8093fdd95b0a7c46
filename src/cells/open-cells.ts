/** Opens a store by one text, as commands and configurations name it. */

import { openFileCells, openNatsCells, openRedisCells, openSqliteCells } from '#cell-stores';
import { assertString } from '../base/checks.ts';
import type { CellStore, CellStoreOptions } from './cell.ts';
import { createMemoryCells } from './memory.ts';

/** Options of {@link openCells}. */
export interface OpenCellsOptions extends CellStoreOptions {
  /** As `maxCells` of memory. @default 65 536 */
  readonly maxCells?: number | undefined;
}

/**
 * Opens the cells that a text names: `memory`, `file:FOLDER`, `sqlite:PATH`, `redis://HOST:PORT`, `rediss://…`, `nats://HOST:PORT[/BUCKET]`.
 *
 * @throws {TypeError | RangeError} (at once) for a text that names no store, and invalid options.
 * @throws {P2PError} (by rejection) what opening that store rejects with.
 */
export function openCells(place: string, options: OpenCellsOptions = {}): Promise<CellStore> {
  assertString(place, 'store');
  const { maxCells, ...shared } = options;
  if (place === 'memory') return Promise.resolve(createMemoryCells({ ...shared, maxCells }));
  const [, scheme = '', rest = ''] = /^([a-z]+):(.+)$/s.exec(place) ?? [];
  switch (scheme) {
    case 'file':
      return openFileCells(rest, shared);
    case 'sqlite':
      return openSqliteCells(rest, shared);
    case 'redis':
    case 'rediss':
      return openRedisCells(place, shared);
    case 'nats':
      return openNatsCells(place, shared);
    default:
      throw new TypeError(
        'Cannot take store: expected memory, file:FOLDER, sqlite:PATH, redis://HOST:PORT or nats://HOST:PORT',
      );
  }
}
