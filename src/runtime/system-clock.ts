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
    if (this.#background) keepProcess(this.#handle, false);
  }

  #fire(): void {
    if (this.#cancelled) return;
    if (performance.now() < this.#atMs) this.#arm();
    else this.#callback();
  }
}

/** A timeout in the list of its length. */
class SystemTimeout implements Timer {
  readonly atMs: number;
  readonly callback: () => void;
  list: TimeoutList | undefined;
  previous: SystemTimeout | undefined;
  next: SystemTimeout | undefined;

  constructor(list: TimeoutList, atMs: number, callback: () => void) {
    this.list = list;
    this.atMs = atMs;
    this.callback = callback;
  }

  cancel(): void {
    this.list?.remove(this);
  }
}

/** The pending timeouts of one length: they end in the order in which they were set, so one timer is enough for all. */
class TimeoutList {
  /** What sets its timer. Test frameworks replace `setTimeout` for a while; a timer of another one may never fire. */
  readonly set: typeof setTimeout = setTimeout;
  readonly #clear: typeof clearTimeout = clearTimeout;
  readonly #ms: number;
  #first: SystemTimeout | undefined;
  #last: SystemTimeout | undefined;
  /** Runs, without keeping the process alive, also while the list is empty: most calls end before their timeout. */
  #handle: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(callback: () => void): Timer {
    const timeout = new SystemTimeout(this, performance.now() + this.#ms, callback);
    const last = this.#last;
    timeout.previous = last;
    if (last === undefined) this.#first = timeout;
    else last.next = timeout;
    this.#last = timeout;
    if (this.#handle === undefined) this.#arm(this.#ms);
    else if (last === undefined) keepProcess(this.#handle, true);
    return timeout;
  }

  remove(timeout: SystemTimeout): void {
    const { previous, next } = timeout;
    timeout.list = timeout.previous = timeout.next = undefined;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    if (this.#first !== undefined) return;
    if (timeoutLists.size > MAX_IDLE_LISTS) this.#drop();
    else keepProcess(this.#handle, false);
  }

  #arm(delay: number): void {
    const { set } = this;
    this.#handle = set(() => this.#fire(), Math.ceil(delay));
  }

  #fire(): void {
    const nowMs = performance.now();
    try {
      for (let due = this.#first; due !== undefined && due.atMs <= nowMs; due = this.#first) {
        this.remove(due);
        due.callback();
      }
    } finally {
      if (this.#first === undefined) this.#drop();
      else this.#arm(Math.max(this.#first.atMs - performance.now(), 0));
    }
  }

  #drop(): void {
    const clear = this.#clear;
    clear(this.#handle);
    this.#handle = undefined;
    // There may be another list of this length by now.
    if (timeoutLists.get(this.#ms) === this) timeoutLists.delete(this.#ms);
  }
}

/** This many lists may stand empty until their timer fires; more lengths than that are not used again and again. */
const MAX_IDLE_LISTS = 16;

/** By length. Bounded by the pending timeouts and {@link MAX_IDLE_LISTS}. */
const timeoutLists = new Map<number, TimeoutList>();

/**
 * Calls `callback` after `ms`, as a timer of {@link systemClock} would. All pending timeouts of one length share one system timer,
 * so that a call that ends in time costs no system timer of its own.
 */
export function systemTimeout(ms: number, callback: () => void): Timer {
  if (ms > MAX_DELAY_MS) return new SystemTimer(performance.now() + ms, callback, false);
  let list = timeoutLists.get(ms);
  if (list?.set !== setTimeout) timeoutLists.set(ms, (list = new TimeoutList(ms)));
  return list.add(callback);
}

/** @throws {TypeError} when `atMs` is not a time, or `callback` not a function. */
export function checkTimer(atMs: number, callback: () => void): void {
  if (typeof atMs !== 'number' || Number.isNaN(atMs)) {
    throw new TypeError(`Cannot set timer: expected a time in milliseconds, got ${describeValue(atMs)}`);
  }
  assertFunction(callback, 'callback');
}

/** In Node a timer keeps the process alive unless unref'd; in browsers a timer is a number, and there is nothing to keep. */
function keepProcess(handle: unknown, keep: boolean): void {
  const verb = keep ? 'ref' : 'unref';
  if (typeof handle !== 'object' || handle === null || !(verb in handle)) return;
  const set: unknown = (handle as Readonly<Record<string, unknown>>)[verb];
  if (typeof set === 'function') set.call(handle);
}

/** Real time: `performance.now`, `setTimeout`, `setImmediate`. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer: (atMs: number, callback: () => void, options?: TimerOptions): Timer => {
    checkTimer(atMs, callback);
    return new SystemTimer(atMs, callback, options?.background ?? false);
  },
};
