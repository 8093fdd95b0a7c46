/** Retries an operation with backoff. */

import { P2PError } from '../core/errors.ts';
import { assertFunction, assertSignal, describeOption, quantity, wholeNumber } from '../base/checks.ts';
import { type Realm, assertRealm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { clockOf, systemRealm } from './system-realm.ts';

/** The pause in milliseconds before retry number `retry`, which counts from 0. */
export type Backoff = (retry: number) => number;

/** The growth of an exponential backoff. Defaults are go-p2p's. */
export interface ExponentialBackoffOptions {
  /** The pause before the first retry. @default 100 */
  readonly initialMs?: number | undefined;
  /** The number of retries in which the pause doubles. @default 2 */
  readonly doubleEvery?: number | undefined;
  /** The maximum pause. @default 30 000 */
  readonly maxMs?: number | undefined;
}

/** `initialMs · 2^(retry / doubleEvery)`, at most `maxMs`. */
export function exponentialBackoff(options: ExponentialBackoffOptions = {}): Backoff {
  const initialMs = quantity(options.initialMs, 'initialMs', 100, 0, Number.MAX_SAFE_INTEGER);
  const doubleEvery = quantity(options.doubleEvery, 'doubleEvery', 2, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER);
  const maxMs = quantity(options.maxMs, 'maxMs', 30_000, 0, Number.MAX_SAFE_INTEGER);
  return (retry) => Math.min(initialMs * 2 ** (retry / doubleEvery), maxMs);
}

/** Always the same pause. */
export function constantBackoff(pauseMs: number): Backoff {
  const fixed = quantity(pauseMs, 'pauseMs', 0, 0, Number.MAX_SAFE_INTEGER);
  return () => fixed;
}

/** Options of {@link retry}. */
export interface RetryOptions extends CallOptions {
  /** The source of time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** Calls in total, including the first. @default Infinity: until `timeoutMs` */
  readonly maxAttempts?: number | undefined;
  /**
   * Stops when the next call would begin later than this. The error is then that of the last call.
   * @default 60 000
   */
  readonly timeoutMs?: number | undefined;
  /** @default exponential: 100 ms, doubling every 2 retries, at most 30 s */
  readonly backoff?: Backoff | undefined;
  /**
   * Each pause is shortened by a random share of itself, up to this value, chosen anew each time, so that peers that
   * failed together do not retry together. 0 to 1. @default 0.25
   */
  readonly jitter?: number | undefined;
  /**
   * Whether to retry after an error.
   * @default only after a {@link P2PError} with `sent: 'no'`: nothing was sent, so the peer cannot act twice
   */
  readonly shouldRetry?: ((error: unknown, attempt: number) => boolean) | undefined;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_JITTER = 0.25;

/**
 * Only for messages that were certainly not sent, and errors that are not final: a closed swarm stays closed, a large
 * message stays large.
 */
function wasNotSent(error: unknown): boolean {
  return P2PError.is(error) && error.sent === 'no' && !FINAL_CODES.includes(error.code);
}

const FINAL_CODES: readonly string[] = ['closed', 'mtu_exceeded', 'unsupported', 'identity_mismatch'];

/**
 * Calls `operation` until it succeeds or must not be retried.
 *
 * @param operation - gets the number of the call, from 0.
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws (by rejection) the error of the last call; `signal.reason` when aborted.
 *
 * @example
 * ```ts
 * const answer = await retry(() => swarm.ask(bob, request), { maxAttempts: 5 });
 * ```
 */
export function retry<T>(operation: (attempt: number) => T | Promise<T>, options: RetryOptions = {}): Promise<T> {
  assertFunction(operation, 'operation');
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeOption('options', options)}`);
  }
  const { realm = systemRealm, backoff = exponentialBackoff(), shouldRetry = wasNotSent, signal } = options;
  assertRealm(realm);
  assertFunction(backoff, 'backoff');
  assertFunction(shouldRetry, 'shouldRetry');
  assertSignal(signal);
  const maxAttempts =
    options.maxAttempts === Infinity
      ? Infinity
      : wholeNumber(options.maxAttempts, 'maxAttempts', Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER);
  const deadlineMs = realm.nowMs() + quantity(options.timeoutMs, 'timeoutMs', DEFAULT_TIMEOUT_MS, 0, Infinity);
  const jitter = quantity(options.jitter, 'jitter', DEFAULT_JITTER, 0, 1);
  return repeat(operation, { realm, backoff, shouldRetry, signal, maxAttempts, deadlineMs, jitter });
}

/** {@link RetryOptions}, checked. */
interface Checked extends Required<Pick<RetryOptions, 'signal'>> {
  readonly realm: Realm;
  readonly backoff: Backoff;
  readonly shouldRetry: (error: unknown, attempt: number) => boolean;
  readonly maxAttempts: number;
  readonly deadlineMs: number;
  readonly jitter: number;
}

async function repeat<T>(operation: (attempt: number) => T | Promise<T>, checked: Checked): Promise<T> {
  const { realm, backoff, shouldRetry, signal, maxAttempts, deadlineMs, jitter } = checked;
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await operation(attempt);
    } catch (error) {
      const pauseMs = backoff(attempt) * (1 - jitter * randomShare(realm));
      const untilMs = realm.nowMs() + pauseMs;
      if (attempt + 1 >= maxAttempts || untilMs > deadlineMs || !shouldRetry(error, attempt)) throw error;
      await pause(realm, untilMs, signal);
    }
  }
}

/** A number from 0 (inclusive) to 1 (exclusive), from the realm's randomness. */
export function randomShare(realm: Realm): number {
  const bytes = realm.random(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 0x1_0000_0000;
}

function pause(realm: Realm, untilMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clockOf(realm).setTimer(untilMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort);
  });
}
