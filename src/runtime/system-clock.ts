/** The clock of this machine. The only place in the library that sets system timers. */

import { assertFunction, describeValue } from '../base/checks.ts';
import type { Clock, Timer, TimerOptions } from '../core/realm.ts';

/** The longest delay that timers of browsers and Node support: 2^31 − 1 ms. Longer ones are set again. */
const MAX_DELAY_MS = 0x7fff_ffff;

/** Exists in Node, but not in browsers; read once, so that test frameworks that replace it later have no effect. */
const immediate: ((callback: () => void) => unknown) | undefined = Reflect.get(globalThis, 'setImmediate');

/**
 * Runs `callback` after the current turn of the event loop, before any timer; so messages of one turn are sent
 * together.
 */
export const nextTurn: (callback: () => void) => void =
  immediate === undefined ? throughChannel() : (callback) => void immediate(callback);

function throughChannel(): (callback: () => void) => void {
  const due: (() => void)[] = []; // Bounded by its callers: each sets at most one callback per turn.
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener('message', () => due.shift()?.());
  port1.start();
  return (callback) => {
    due.push(callback);
    port2.postMessage(undefined);
  };
}

class SystemTimer implements Timer {
  #cancelled = false;
  #handle: ReturnType<typeof setTimeout> | undefined;
  readonly #atMs: number;
  readonly #callback: () => void;
  readonly #background: boolean;

  constructor(atMs: number, callback: () => void, background: boolean) {
    this.#atMs = atMs;
    this.#callback = callback;
    this.#background = background;
    this.#arm();
  }

  cancel(): void {
    this.#cancelled = true;
    clearTimeout(this.#handle);
  }

  #arm(): void {
    const delay = this.#atMs - performance.now();
    if (delay <= 0 && !this.#background) {
      nextTurn(() => this.#fire());
      return;
    }
    // Rounded up, or a timer could fire slightly too early.
    this.#handle = setTimeout(() => this.#fire(), Math.min(Math.ceil(Math.max(delay, 0)), MAX_DELAY_MS));
    if (this.#background) letProcessEnd(this.#handle);
  }

  #fire(): void {
    if (this.#cancelled) return;
    if (performance.now() < this.#atMs) this.#arm();
    else this.#callback();
  }
}

/** @throws {TypeError} when `atMs` is not a time, or `callback` not a function. */
export function checkTimer(atMs: number, callback: () => void): void {
  if (typeof atMs !== 'number' || Number.isNaN(atMs)) {
    throw new TypeError(`Cannot set timer: expected a time in milliseconds, got ${describeValue(atMs)}`);
  }
  assertFunction(callback, 'callback');
}

/** In Node a timer keeps the process alive unless unref'd; in browsers a timer is a number. */
function letProcessEnd(handle: unknown): void {
  if (typeof handle === 'object' && handle !== null && 'unref' in handle && typeof handle.unref === 'function') {
    handle.unref();
  }
}

/** Real time: `performance.now`, `setTimeout`, `setImmediate`. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer: (atMs: number, callback: () => void, options?: TimerOptions): Timer => {
    checkTimer(atMs, callback);
    return new SystemTimer(atMs, callback, options?.background ?? false);
  },
};
