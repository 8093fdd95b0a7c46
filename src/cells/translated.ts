/** Cells that store their values in another form in an inner cell; the same value may have many forms. */

import { type Bytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import { rejection } from '../runtime/promises.ts';
import { assertCell } from './apply.ts';
import type { CasResult, Cell, CellCallOptions } from './cell.ts';
import { DEFAULT_TIMEOUT_MS, takeSwap, tooLong } from './store.ts';
import { checkCall } from '../runtime/waits.ts';

/** The two directions. Neither sees an empty value: an empty cell is empty in both. */
export interface Translation {
  /** By how much a form exceeds its value. */
  readonly overheadBytes: number;
  readonly wrap: (value: Bytes) => Bytes;
  /** @throws {P2PError} for bytes that are no form. */
  readonly unwrap: (form: Bytes) => Bytes;
}

/** How often a swap begins again when others write the expected value in another form. */
const MAX_REWRITES = 16;

/** Wraps a cell. @throws {TypeError | RangeError} when `inner` is no cell, or too small for the form. */
export function translated(inner: Cell, translation: Translation): Cell {
  assertCell(inner);
  if (inner.maxBytes <= translation.overheadBytes) {
    throw new RangeError(
      `Cannot wrap cell: it holds ${inner.maxBytes} bytes, ${translation.overheadBytes} of which are needed`,
    );
  }
  return new TranslatedCell(inner, translation);
}

class TranslatedCell implements Cell {
  readonly maxBytes: number;
  readonly realm: Realm;
  readonly #inner: Cell;
  readonly #translation: Translation;

  constructor(inner: Cell, translation: Translation) {
    this.maxBytes = inner.maxBytes - translation.overheadBytes;
    this.realm = inner.realm;
    this.#inner = inner;
    this.#translation = translation;
  }

  get(options?: CellCallOptions): Promise<Bytes> {
    return this.#inner.get(options).then((form) => this.#unwrap(form));
  }

  cas(expected: Uint8Array, next: Uint8Array, options?: CellCallOptions): Promise<CasResult> {
    checkCall(options);
    const [before, after] = takeSwap(expected, next);
    if (after.length > this.maxBytes) return rejection(tooLong(after.length, this.maxBytes));
    return this.#swap(before, after, options);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #swap(expected: Bytes, next: Bytes, options: CellCallOptions = {}): Promise<CasResult> {
    const endMs = this.realm.nowMs() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    const left = (): CellCallOptions => ({
      signal: options.signal,
      timeoutMs: Math.max(0, endMs - this.realm.nowMs()),
    });
    let form = await this.#inner.get(left());
    for (let tries = 0; tries < MAX_REWRITES; tries++) {
      const current = this.#unwrap(form);
      if (!equalBytes(current, expected)) return { swapped: false, current };
      if (equalBytes(expected, next)) return { swapped: true, current };
      const result = await this.#inner.cas(form, this.#wrap(next), left());
      if (result.swapped) return { swapped: true, current: copyBytes(next) };
      form = result.current;
    }
    const what = `Cannot write cell: others wrote the expected value ${MAX_REWRITES} times meanwhile`;
    throw new P2PError('limit_exceeded', 'path', what, { sent: 'no' });
  }

  #wrap(value: Bytes): Bytes {
    return value.length === 0 ? value : this.#translation.wrap(value);
  }

  #unwrap(form: Bytes): Bytes {
    return form.length === 0 ? form : this.#translation.unwrap(form);
  }
}
