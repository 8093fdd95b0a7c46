/** Cells in memory. */

import { type Bytes, copyBytes, EMPTY_BYTES, equalBytes } from '../base/bytes.ts';
import { wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { Cell, CellStore, CellStoreOptions, CasResult } from './cell.ts';
import {
  type BackendCall,
  type CellBackend,
  onlyCell,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

/** Options of {@link createMemoryCells}. */
export interface MemoryCellsOptions extends CellStoreOptions {
  /** Cells that are not empty. A further one rejects with `limit_exceeded`. @default 65 536 */
  readonly maxCells?: number | undefined;
}

interface Held {
  readonly value: Bytes;
  readonly writtenMs: number;
}

/** Expired cells that are removed at a write: more than come, so that memory comes back. */
const SWEEP = 4;

class MemoryBackend implements CellBackend {
  readonly kind = 'memory';
  readonly #options: ResolvedStoreOptions;
  readonly #maxCells: number;
  /** In the order of writing. Bounded by `maxCells`. */
  readonly #cells = new Map<string, Held>();

  constructor(options: ResolvedStoreOptions, maxCells: number) {
    this.#options = options;
    this.#maxCells = maxCells;
  }

  read(key: string): Promise<Bytes> {
    return Promise.resolve(copyBytes(this.#valueOf(key)));
  }

  async swap(key: string, expected: Bytes, next: Bytes, { sending }: BackendCall): Promise<CasResult> {
    this.#sweep();
    const value = this.#valueOf(key);
    if (!equalBytes(value, expected)) return { swapped: false, current: copyBytes(value) };
    if (next.length > 0 && !this.#cells.has(key) && this.#cells.size >= this.#maxCells) {
      const what = `Cannot write cell ${key}: there are ${this.#maxCells} cells, which is the limit`;
      throw new P2PError('limit_exceeded', 'local', what, { sent: 'no' });
    }
    sending();
    this.#cells.delete(key);
    if (next.length > 0) this.#cells.set(key, { value: next, writtenMs: this.#options.realm.nowMs() });
    return { swapped: true, current: copyBytes(next) };
  }

  release(): Promise<void> {
    this.#cells.clear();
    return Promise.resolve();
  }

  #valueOf(key: string): Bytes {
    const held = this.#cells.get(key);
    return held === undefined || this.#isExpired(held) ? EMPTY_BYTES : held.value;
  }

  #isExpired({ writtenMs }: Held): boolean {
    return this.#options.realm.nowMs() - writtenMs >= this.#options.expireMs;
  }

  #sweep(): void {
    let left = SWEEP;
    for (const [key, held] of this.#cells) {
      if (left-- === 0 || !this.#isExpired(held)) return;
      this.#cells.delete(key);
    }
  }
}

/**
 * Makes cells in memory, which end with the process.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function createMemoryCells(options: MemoryCellsOptions = {}): CellStore {
  const resolved = resolveStoreOptions(options);
  const maxCells = wholeNumber(options.maxCells, 'maxCells', 65_536, 1, 16_777_216);
  return storeOver(new MemoryBackend(resolved, maxCells), resolved);
}

/** Makes one cell in memory. @throws {TypeError | RangeError} for invalid options. */
export function createMemoryCell(options: CellStoreOptions = {}): Cell {
  return onlyCell(createMemoryCells(options), 'cell');
}
