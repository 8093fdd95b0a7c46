/**
 * Pending calls. Each ends by its result, its deadline, its signal, or the closing of its swarm; this file combines the
 * four.
 */

import { IdMap } from '../base/id-map.ts';
import type { AskOptions } from '../core/ask.ts';
import { P2PError, closedError } from '../core/errors.ts';
import { assertSignal, quantity, wholeNumber } from '../base/checks.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { systemClock, systemTimeout } from './system-clock.ts';
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

/** A wait until it ends. */
class Pending<T> implements Wait<T> {
  readonly options: WaitOptions;
  readonly #id: number;
  readonly #waits: IdMap<Pending<never>>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (error: unknown) => void;
  /** Made when they are asked for. */
  #boundResolve: ((value: T) => void) | undefined;
  #boundReject: ((error: unknown) => void) | undefined;
  #onAbort: (() => void) | undefined;
  /** Read once: the caller may change its options, or compute them at each access. */
  readonly #signal: AbortSignal | undefined;
  readonly #timeoutMs: number;
  #timer: Timer | undefined;
  #forget: (() => void) | undefined;
  #undo: (() => void) | void = undefined;
  #ended = false;

  constructor(
    id: number,
    waits: IdMap<Pending<never>>,
    options: WaitOptions,
    signal: AbortSignal | undefined,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ) {
    this.#id = id;
    this.#waits = waits;
    this.options = options;
    this.#signal = signal;
    this.#timeoutMs = options.call?.timeoutMs ?? options.defaultTimeoutMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get resolve(): (value: T) => void {
    return (this.#boundResolve ??= (value) => {
      if (this.#end()) this.#resolve(value);
    });
  }

  get reject(): (error: unknown) => void {
    return (this.#boundReject ??= (error) => {
      if (this.#end()) this.#reject(error);
    });
  }

  begin(realm: Realm, begin: (wait: Wait<T>) => (() => void) | void): void {
    this.#forget = clockOf(realm).noteWait?.(this.options.what);
    this.#waits.set(this.#id, this);
    if (this.#signal !== undefined) {
      const signal = this.#signal;
      this.#onAbort = () => this.reject(signal.reason);
      signal.addEventListener('abort', this.#onAbort);
    }
    if (this.#timeoutMs !== Infinity) {
      this.#timer = timeoutAfter(realm, this.#timeoutMs, () => this.#handleTimeout());
    }
    try {
      this.#undo = begin(this);
    } catch (error) {
      this.reject(error);
    }
    // It ended during `begin`: `#end` ran before the undo function existed.
    if (this.#ended) this.#undo?.();
  }

  #handleTimeout(): void {
    const { what, why } = this.options;
    const sent = sentOf(this.options);
    const reason = why?.();
    const message = `Cannot ${what()}: no result within ${this.#timeoutMs} ms${reason === undefined ? '' : `; ${reason}`}`;
    this.reject(new P2PError('timeout', 'path', message, { sent }));
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#timer?.cancel();
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#waits.delete(this.#id);
    this.#forget?.();
    this.#undo?.();
    return true;
  }
}

/** All waits of one swarm. */
export class Waits {
  readonly #realm: Realm;
  readonly #pending = new IdMap<Pending<never>>(); // Bounded by the pending calls.
  #nextId = 1;
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
    const signal = options.call?.signal;
    if (this.#closed) return rejection(closedError(options.what()));
    if (signal?.aborted === true) return rejection(signal.reason);
    return new Promise<T>((resolve, reject) => {
      new Pending<T>(this.#nextId++, this.#pending, options, signal, resolve, reject).begin(this.#realm, begin);
    });
  }

  /** Ends every wait with `closed`, and all later ones at once. */
  close(cause?: unknown): void {
    this.#closed = true;
    for (const [, { options, reject }] of this.#pending.clear())
      reject(closedError(options.what(), cause, sentOf(options)));
  }
}

/** A timer of a virtual clock stands for itself, so that its order is that in which it was set. */
function timeoutAfter(realm: Realm, ms: number, act: () => void): Timer {
  const clock = clockOf(realm);
  return clock === systemClock ? systemTimeout(ms, act) : clock.setTimer(realm.nowMs() + ms, act);
}

function sentOf({ sent }: WaitOptions): 'no' | 'maybe' {
  return sent?.() ?? 'maybe';
}
