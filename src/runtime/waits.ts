/**
 * Pending calls. Each ends by its result, its deadline, its signal, or the closing of its swarm; this file combines the
 * four.
 */

import type { AskOptions } from '../core/ask.ts';
import { P2PError, closedError } from '../core/errors.ts';
import { assertSignal, quantity, wholeNumber } from '../base/checks.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { clockOf } from './system-realm.ts';
import { rejection } from './promises.ts';

/** The purpose and the time limit of a wait. */
export interface WaitOptions {
  /** For error messages and for tools that show what hangs: `ask 3 from 5`. Called only then. */
  readonly what: () => string;
  readonly call?: CallOptions | undefined;
  /** The deadline when the call gives none. `Infinity`: none. */
  readonly defaultTimeoutMs: number;
  /** A known reason for the delay, for the message of `timeout`: `its clock differs`. Called only then. */
  readonly why?: (() => string | undefined) | undefined;
  /** Whether bytes of the call may have been sent, for `timeout` and `closed`. @default always `'maybe'` */
  readonly sent?: (() => 'no' | 'maybe') | undefined;
}

/** Settles a wait; the first call counts. */
export interface Wait<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

interface Pending {
  readonly options: WaitOptions;
  readonly reject: (error: unknown) => void;
}

/** Checks the options that every call has. @throws {TypeError | RangeError} for an invalid timeout or signal. */
export function checkCall(call: CallOptions | undefined): void {
  if (call === undefined) return;
  if (typeof call !== 'object' || call === null) throw new TypeError('Cannot take options: expected an object');
  quantity(call.timeoutMs, 'timeoutMs', 0, 0, Infinity);
  quantity(call.expiresMs, 'expiresMs', 0, 0, Infinity);
  quantity(call.priority, 'priority', 0, -Number.MAX_VALUE, Number.MAX_VALUE);
  assertSignal(call.signal);
}

/**
 * Checks the options that every ask has. @throws {TypeError | RangeError} as {@link checkCall}, and for an invalid
 * limit.
 */
export function checkAsk(options: AskOptions | undefined): void {
  checkCall(options);
  wholeNumber(options?.maxResponseBytes, 'maxResponseBytes', 0, 0, Number.MAX_SAFE_INTEGER);
}

/** All waits of one swarm. */
export class Waits {
  readonly #realm: Realm;
  readonly #pending = new Set<Pending>(); // Bounded by the pending calls.
  #closed = false;

  constructor(realm: Realm) {
    this.#realm = realm;
  }

  get size(): number {
    return this.#pending.size;
  }

  /**
   * Waits for what `begin` starts.
   *
   * @param begin - gets the object that settles the wait, and may return a function that is called at its end, whatever
   * the result.
   * @throws (by rejection) what `begin` threw or rejected with; `signal.reason`; {@link P2PError} `timeout` or
   * `closed`.
   */
  wait<T>(options: WaitOptions, begin: (wait: Wait<T>) => (() => void) | void): Promise<T> {
    const { what, call } = options;
    const signal = call?.signal;
    if (this.#closed) return rejection(closedError(what()));
    if (signal?.aborted === true) return rejection(signal.reason);
    const timeoutMs = call?.timeoutMs ?? options.defaultTimeoutMs;
    const clock = clockOf(this.#realm);
    return new Promise<T>((resolve, reject) => {
      let undo: (() => void) | void = undefined;
      let timer: Timer | undefined;
      let ended = false;
      const forget = clock.noteWait?.(what);
      const end = (): boolean => {
        if (ended) return false;
        ended = true;
        timer?.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#pending.delete(pending);
        forget?.();
        undo?.();
        return true;
      };
      const wait: Wait<T> = {
        resolve: (value) => end() && resolve(value),
        reject: (error) => end() && reject(error),
      };
      const onAbort = (): void => wait.reject(signal?.reason);
      const pending: Pending = { options, reject: wait.reject };
      this.#pending.add(pending);
      signal?.addEventListener('abort', onAbort);
      if (timeoutMs !== Infinity) {
        timer = clock.setTimer(this.#realm.nowMs() + timeoutMs, () => {
          const sent = sentOf(options);
          const why = options.why?.();
          const message = `Cannot ${what()}: no result within ${timeoutMs} ms${why === undefined ? '' : `; ${why}`}`;
          wait.reject(new P2PError('timeout', 'path', message, { sent }));
        });
      }
      try {
        undo = begin(wait);
      } catch (error) {
        wait.reject(error);
      }
      // It ended during `begin`: `end` ran before the undo function existed.
      if (ended) undo?.();
    });
  }

  /** Ends every wait with `closed`, and all later ones at once. */
  close(cause?: unknown): void {
    this.#closed = true;
    for (const { options, reject } of this.#pending) reject(closedError(options.what(), cause, sentOf(options)));
  }
}

function sentOf({ sent }: WaitOptions): 'no' | 'maybe' {
  return sent?.() ?? 'maybe';
}
