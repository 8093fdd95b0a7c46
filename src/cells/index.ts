/**
 * `shoal/cell`: compare-and-swap cells, in memory, in files, in SQLite, at an HTTP server, in Redis and in NATS; signed and sealed. Exports only.
 *
 * @example
 * ```ts
 * await using cells = await openSqliteCells('cells.db');
 * await apply(cells.cell('counter'), (current) => encodeText(`${Number(decodeText(current)) + 1}`));
 * ```
 */

export { openFileCells, openNatsCells, openRedisCells, openSqliteCells } from '#cell-stores';
export { apply, type ApplyOptions, type ApplyResult, type CellChange } from './apply.ts';
export {
  type CasResult,
  type Cell,
  type CellCallOptions,
  type CellStore,
  type CellStoreOptions,
  DEFAULT_CELL_BYTES,
  MAX_CELL_BYTES,
} from './cell.ts';
export { type HttpAnswer, httpCell, type HttpCellOptions, type HttpFetch } from './http-cell.ts';
export {
  type CellCheck,
  cellHandler,
  type CellHandlerOptions,
  type CellHttpRequest,
  type CellHttpResponse,
  type CellOutcome,
  signedCellCheck,
} from './http-handler.ts';
export { createMemoryCell, createMemoryCells, type MemoryCellsOptions } from './memory.ts';
export { type NatsCellsOptions } from './nats-options.ts';
export { type RedisCellsOptions } from './redis-options.ts';
export { sealed, type SealedOptions } from './sealed.ts';
export { signed, type SignedOptions } from './signed.ts';
export { openCells, type OpenCellsOptions } from './open-cells.ts';
