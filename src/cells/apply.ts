/** Changes a cell by a function of what is in it, again while others come first. */

import type { Bytes } from '../base/bytes.ts';
import { assertBytes, assertFunction, assertSignal, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { exponentialBackoff, retry } from '../runtime/retry.ts';
import type { Cell, CellCallOptions } from './cell.ts';

/** The next value of a cell; `undefined` leaves it as it is. */
export type CellChange = (current: Bytes) => Uint8Array | undefined | Promise<Uint8Array | undefined>;

/** Options of {@link apply}. */
export interface ApplyOptions extends CellCallOptions {
  /** For all attempts together, in milliseconds of the realm's time. @default 30 000 */
  readonly timeoutMs?: number | undefined;
  /** Attempts in total; after each that another writer has come before, there is a pause. 1 to 1000. @default 10, as go-p2p */
  readonly maxAttempts?: number | undefined;
  /**
   * Whether an attempt that may have taken effect is followed by another. Only for changes that may be applied twice, such as an announcement:
   * a counter would count twice.
   * @default false
   */
  readonly repeatable?: boolean | undefined;
}

/** What came of {@link apply}. */
export interface ApplyResult {
  /** Whether the cell was changed. */
  readonly changed: boolean;
  /** What the cell held after it. */
  readonly value: Bytes;
  /** How often `change` was called. */
  readonly attempts: number;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** Pauses between attempts: a write takes a few milliseconds, and doubled pauses let many writers through one after the other. */
const BACKOFF = exponentialBackoff({ initialMs: 4, doubleEvery: 1, maxMs: 500 });
/** Most of a pause is random, so that writers who met do not meet again. */
const JITTER = 0.9;

/** Another writer was first; the cell holds something else now. */
class Conflict extends Error {}

/**
 * Reads a cell, computes its next value and swaps it in; begins again when the cell was changed in between.
 *
 * @param change - called once per attempt with the value of that moment, which is its own. An error of it ends the call.
 * @throws {TypeError | RangeError} (at once) for invalid arguments.
 * @throws {P2PError} (by rejection) what the cell rejects with; `limit_exceeded` when every attempt met another writer, with `sent: 'no'`; `timeout`.
 *
 * @example
 * ```ts
 * await apply(cell, (current) => encodeText(`${Number(decodeText(current)) + 1}`));
 * ```
 */
export function apply(cell: Cell, change: CellChange, options: ApplyOptions = {}): Promise<ApplyResult> {
  assertCell(cell);
  assertFunction(change, 'change');
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { signal, repeatable = false } = options;
  assertSignal(signal);
  const maxAttempts = wholeNumber(options.maxAttempts, 'maxAttempts', 10, 1, 1000);
  const timeoutMs = quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 0, Infinity);
  const { realm } = cell;
  const endMs = realm.nowMs() + timeoutMs;
  let current: Bytes | undefined;
  const left = (): CellCallOptions => ({ signal, timeoutMs: Math.max(0, endMs - realm.nowMs()) });
  const attempt = async (index: number): Promise<ApplyResult> => {
    current ??= await cell.get(left());
    const before = current;
    const next = await change(before.slice());
    const attempts = index + 1;
    if (next === undefined) return { changed: false, value: before, attempts };
    assertBytes(next, 'the result of change');
    current = undefined;
    const result = await cell.cas(before, next, left());
    if (result.swapped) return { changed: true, value: result.current, attempts };
    ({ current } = result);
    throw new Conflict();
  };
  const shouldRetry = (error: unknown): boolean => {
    if (error instanceof Conflict) return true;
    return P2PError.is(error) && AGAIN.includes(error.code) && (error.sent === 'no' || repeatable);
  };
  return retry(attempt, { realm, signal, timeoutMs, maxAttempts, backoff: BACKOFF, jitter: JITTER, shouldRetry }).catch(
    (error: unknown) => {
      if (!(error instanceof Conflict)) throw error;
      const what = `Cannot apply: other writers were first in each of up to ${maxAttempts} attempts in ${timeoutMs} ms`;
      throw new P2PError('limit_exceeded', 'path', what, { sent: 'no' });
    },
  );
}

/** Failures that may pass. */
const AGAIN: readonly string[] = ['unreachable', 'disconnected', 'timeout'];

/** @throws {TypeError} when `value` lacks a member that every cell has. @internal */
export function assertCell(value: unknown, label = 'cell'): asserts value is Cell {
  const { get, cas, maxBytes } = Object(value) as Partial<Cell>;
  if (typeof get === 'function' && typeof cas === 'function' && typeof maxBytes === 'number') return;
  throw new TypeError(`Cannot take ${label}: expected { get, cas, maxBytes }, got ${describeValue(value)}`);
}
