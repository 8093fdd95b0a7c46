/**
 * Cells: a value that is replaced only by those who know it. A program that wants to change a cell says what is in it and what is to be in it; of
 * several who try at once, one succeeds. `cellSuite` of `shoal/testing` checks every sentence here.
 */

import type { Bytes } from '../base/bytes.ts';
import type { Realm } from '../core/realm.ts';

/** Ends a call of a cell. */
export interface CellCallOptions {
  /** Aborting rejects the call with `signal.reason`. What was sent already may still take effect. */
  readonly signal?: AbortSignal | undefined;
  /** Deadline in milliseconds of the realm's time, 0 to Infinity; the call then rejects with `timeout`. @default 10 000 */
  readonly timeoutMs?: number | undefined;
}

/** What came of a compare-and-swap. */
export interface CasResult {
  /** Whether the cell held what was expected, and now holds the new value. */
  readonly swapped: boolean;
  /** The new value after a swap; without one, what the cell held at a moment of the call, which is not what was expected. */
  readonly current: Bytes;
}

/**
 * A compare-and-swap cell.
 *
 * Every call takes effect at one moment between its beginning and its end (linearizability). A cell that nobody has written is empty: no bytes. Writing no
 * bytes empties it again.
 *
 * **Misuse** throws `TypeError` at once. **Failure** rejects with a `P2PError`; where `sent` is `'maybe'`, the swap may have happened, or
 * may happen later.
 */
export interface Cell extends AsyncDisposable {
  /** The longest value, in bytes. A longer one rejects with `limit_exceeded`. */
  readonly maxBytes: number;
  /** Its time, for pauses and deadlines. */
  readonly realm: Realm;
  /** What the cell holds: the caller's own bytes. */
  get(options?: CellCallOptions): Promise<Bytes>;
  /** Puts `next` if the cell holds `expected`. Both are the caller's again when the call returns. */
  cas(expected: Uint8Array, next: Uint8Array, options?: CellCallOptions): Promise<CasResult>;
  /** Ends all calls with `closed`, and releases what the cell holds open. Idempotent; never rejects. */
  close(): Promise<void>;
}

/** Many cells of one place, by key. */
export interface CellStore extends AsyncDisposable {
  /** What it stores in: `memory`, `file`, `sqlite`, `redis`, `nats`. */
  readonly kind: string;
  /** The longest value, in bytes. */
  readonly maxBytes: number;
  readonly realm: Realm;
  /** As {@link Cell.get}. @param key - 1 to 128 characters of A-Z a-z 0-9 _ - */
  get(key: string, options?: CellCallOptions): Promise<Bytes>;
  /** As {@link Cell.cas}. */
  cas(key: string, expected: Uint8Array, next: Uint8Array, options?: CellCallOptions): Promise<CasResult>;
  /** One of its cells. Closing that leaves the store open. */
  cell(key: string): Cell;
  /** As {@link Cell.close}, for all its cells. */
  close(): Promise<void>;
}

/** Options of every store. */
export interface CellStoreOptions {
  /** The longest value in bytes, 1 to 16 777 216. @default 32 768, as go-p2p's tracker */
  readonly maxBytes?: number | undefined;
  /**
   * A cell that was not written for this long is empty, in milliseconds, 1000 to Infinity.
   * @default Infinity
   */
  readonly expireMs?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/** The default of {@link CellStoreOptions.maxBytes}: what go-p2p's tracker takes. */
export const DEFAULT_CELL_BYTES = 32_768;
/** The largest value of {@link CellStoreOptions.maxBytes}. */
export const MAX_CELL_BYTES = 16_777_216;
