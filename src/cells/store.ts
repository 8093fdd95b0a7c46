/** What all stores of cells share: checks of arguments, deadlines, closing, and single cells by key. */

import { type Bytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { assertBytes, assertString, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { rejection } from '../runtime/promises.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { checkCall, type Wait, Waits } from '../runtime/waits.ts';
import {
  type CasResult,
  type Cell,
  type CellCallOptions,
  type CellStore,
  type CellStoreOptions,
  DEFAULT_CELL_BYTES,
  MAX_CELL_BYTES,
} from './cell.ts';

/** The deadline of a call that names none. */
export const DEFAULT_TIMEOUT_MS = 10_000;
const KEY = /^[\w-]{1,128}$/;

/** {@link CellStoreOptions}, checked. */
export interface ResolvedStoreOptions {
  readonly maxBytes: number;
  readonly expireMs: number;
  readonly realm: Realm;
}

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveStoreOptions(options: CellStoreOptions = {}): ResolvedStoreOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { realm = systemRealm } = options;
  assertRealm(realm);
  return {
    maxBytes: wholeNumber(options.maxBytes, 'maxBytes', DEFAULT_CELL_BYTES, 1, MAX_CELL_BYTES),
    expireMs: quantity(options.expireMs, 'expireMs', Infinity, 1000, Infinity),
    realm,
  };
}

/** @throws {TypeError} when `key` is no key: it may be part of a path, a URL and a subject. */
export function assertCellKey(key: unknown): asserts key is string {
  assertString(key, 'key');
  if (!KEY.test(key)) {
    throw new TypeError(`Cannot take key: expected 1 to 128 characters of A-Z a-z 0-9 _ -, got ${describeValue(key)}`);
  }
}

/** Checks the arguments of a swap and copies them: the caller may change them as soon as the call returns. @throws {TypeError} */
export function takeSwap(expected: Uint8Array, next: Uint8Array): readonly [Bytes, Bytes] {
  assertBytes(expected, 'expected');
  assertBytes(next, 'next');
  return [copyBytes(expected), copyBytes(next)];
}

/** The failure of a value that is too long; nothing was sent. */
export function tooLong(length: number, maxBytes: number): P2PError {
  const what = `Cannot write cell: ${length} bytes, limit is ${maxBytes} bytes`;
  return new P2PError('limit_exceeded', 'local', what, { sent: 'no' });
}

/** An error of a backend as a failure of the call. @param sent - `'no'` when the backend has not begun to send a swap */
function storeError(what: string, cause: unknown, sent: 'no' | 'maybe'): P2PError {
  if (P2PError.is(cause)) {
    if (sent === 'maybe' || cause.sent === 'no') return cause;
    return new P2PError(cause.code, cause.side, cause.message, { sent, cause: cause.cause });
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new P2PError('unreachable', 'remote', `Cannot ${what}: ${why}`, { sent, cause });
}

/** What a call of a backend gets. */
export interface BackendCall {
  /** Aborted when the call is over. */
  readonly signal: AbortSignal;
  /** Says that from now on the swap may happen, whatever becomes of the call. */
  readonly sending: () => void;
}

/** A store by a backend: two functions and an end. */
export interface CellBackend {
  readonly kind: string;
  read(key: string, call: BackendCall): Promise<Bytes>;
  /** Arguments are the backend's own, `next` is short enough, and both differ. */
  swap(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult>;
  /** Never rejects. */
  release(): Promise<void>;
}

/** Makes a store of a backend. */
export function storeOver(backend: CellBackend, options: ResolvedStoreOptions): CellStore {
  return new BackedStore(backend, options);
}

class BackedStore implements CellStore {
  readonly kind: string;
  readonly maxBytes: number;
  readonly realm: Realm;
  readonly #backend: CellBackend;
  readonly #waits: Waits;
  #closing: Promise<void> | undefined;

  constructor(backend: CellBackend, { maxBytes, realm }: ResolvedStoreOptions) {
    this.kind = backend.kind;
    this.maxBytes = maxBytes;
    this.realm = realm;
    this.#backend = backend;
    this.#waits = new Waits(realm);
  }

  get(key: string, options?: CellCallOptions): Promise<Bytes> {
    assertCellKey(key);
    return this.read(key, options, this.#waits);
  }

  cas(key: string, expected: Uint8Array, next: Uint8Array, options?: CellCallOptions): Promise<CasResult> {
    assertCellKey(key);
    return this.swap(key, expected, next, options, this.#waits);
  }

  read(key: string, options: CellCallOptions | undefined, waits: Waits): Promise<Bytes> {
    checkCall(options);
    return this.#call(`read cell ${key}`, waits, options, (call) => this.#read(key, call));
  }

  swap(
    key: string,
    expected: Uint8Array,
    next: Uint8Array,
    options: CellCallOptions | undefined,
    waits: Waits,
  ): Promise<CasResult> {
    checkCall(options);
    const [before, after] = takeSwap(expected, next);
    if (after.length > this.maxBytes) return rejection(tooLong(after.length, this.maxBytes));
    return this.#call(`write cell ${key}`, waits, options, async (call) => {
      // Nothing changes, so there is nothing to write: a look is enough.
      if (!equalBytes(before, after)) return this.#backend.swap(key, before, after, call);
      const current = await this.#read(key, call);
      return { swapped: equalBytes(current, before), current };
    });
  }

  cell(key: string): Cell {
    assertCellKey(key);
    return new StoredCell(this, key, new Waits(this.realm));
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(key: string, call: BackendCall): Promise<Bytes> {
    const value = await this.#backend.read(key, call);
    if (value.length <= this.maxBytes) return value;
    const what = `Cannot read cell ${key}: it has more than ${this.maxBytes} bytes, which is the limit`;
    throw new P2PError('limit_exceeded', 'remote', what, { sent: 'no' });
  }

  async #end(): Promise<void> {
    this.#waits.close();
    await this.#backend.release();
  }

  /** Waits for a call of the backend, at most until the call's deadline, its signal, or the end of the cell or the store. */
  #call<T>(
    what: string,
    waits: Waits,
    options: CellCallOptions | undefined,
    run: (call: BackendCall) => Promise<T>,
  ): Promise<T> {
    let sent: 'no' | 'maybe' = 'no';
    const over = new AbortController();
    const sending = (): void => void (sent = 'maybe');
    const within = { what: () => what, call: options, defaultTimeoutMs: DEFAULT_TIMEOUT_MS, sent: () => sent };
    const begin = ({ resolve, reject }: Wait<T>): (() => void) => {
      run({ signal: over.signal, sending }).then(resolve, (error: unknown) => reject(storeError(what, error, sent)));
      return () => over.abort(new P2PError('closed', 'local', `Cannot ${what}: the call is over`));
    };
    if (waits === this.#waits) return waits.wait(within, begin);
    // The end of the store ends the calls of its cells as well.
    return waits.wait(within, (wait) => {
      this.#waits
        .wait({ ...within, call: { timeoutMs: Infinity, signal: over.signal } }, begin)
        .then(wait.resolve, wait.reject);
      return () => over.abort();
    });
  }
}

class StoredCell implements Cell {
  readonly maxBytes: number;
  readonly realm: Realm;
  readonly #store: BackedStore;
  readonly #key: string;
  readonly #waits: Waits;

  constructor(store: BackedStore, key: string, waits: Waits) {
    this.maxBytes = store.maxBytes;
    this.realm = store.realm;
    this.#store = store;
    this.#key = key;
    this.#waits = waits;
  }

  get(options?: CellCallOptions): Promise<Bytes> {
    return this.#store.read(this.#key, options, this.#waits);
  }

  cas(expected: Uint8Array, next: Uint8Array, options?: CellCallOptions): Promise<CasResult> {
    return this.#store.swap(this.#key, expected, next, options, this.#waits);
  }

  close(): Promise<void> {
    this.#waits.close();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A cell that is the only one of its store: closing it closes the store. */
export function onlyCell(store: CellStore, key: string): Cell {
  const cell = store.cell(key);
  const close = async (): Promise<void> => {
    await cell.close();
    await store.close();
  };
  return {
    maxBytes: cell.maxBytes,
    realm: cell.realm,
    get: (options) => cell.get(options),
    cas: (expected, next, options) => cell.cas(expected, next, options),
    close,
    [Symbol.asyncDispose]: close,
  };
}
