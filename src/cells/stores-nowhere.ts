/** Replaces the stores that need Node on other platforms. */

import { P2PError } from '../core/errors.ts';
import { rejection } from '../runtime/promises.ts';
import type { CellStore, CellStoreOptions } from './cell.ts';
import type { NatsCellsOptions } from './nats-options.ts';
import type { RedisCellsOptions } from './redis-options.ts';

const nowhere =
  (what: string) =>
  (place: string): Promise<CellStore> =>
    rejection(new P2PError('unsupported', 'local', `Cannot open ${what} ${place}: it needs Node`, { sent: 'no' }));

export const openFileCells: (folder: string, options?: CellStoreOptions) => Promise<CellStore> = nowhere('files in');
export const openSqliteCells: (path: string, options?: CellStoreOptions) => Promise<CellStore> = nowhere('SQLite at');
export const openRedisCells: (url: string, options?: RedisCellsOptions) => Promise<CellStore> = nowhere('Redis at');
export const openNatsCells: (url: string, options?: NatsCellsOptions) => Promise<CellStore> = nowhere('NATS at');
