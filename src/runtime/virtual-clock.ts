/**
 * Virtual time: a clock that advances only on request, so that a test of three hours takes milliseconds and a run can
 * be replayed from a seed.
 *
 * It fires all timers due at this instant in order of creation, lets one turn of the event loop pass so that promises
 * and streams settle, checks the same instant again, and only then advances to the next one.
 */

import { describeValue, quantity } from '../base/checks.ts';
import type { Clock, Timer, TimerOptions } from '../core/realm.ts';
import { checkTimer, nextTurn } from './system-clock.ts';
import { type TimerEntry, TimerQueue } from './timer-queue.ts';

/** A clock for tests. */
export interface VirtualClock extends Clock {
  /** Advances time by `ms`, firing all timers that become due. Resolves when that instant has settled. */
  advance(ms: number): Promise<void>;
  /**
   * Advances time until `promise` settles, and settles with its result.
   *
   * @throws {Error} (by rejection) when no timer is set that could settle it, or when `limitMs` have passed; the
   * message names the pending waits.
   */
  run<T>(promise: PromiseLike<T>, options?: RunOptions): Promise<T>;
  /**
   * Stops time until `promise` settles: for real I/O during virtual time (files, `crypto.subtle`, sockets), which the
   * clock cannot see.
   */
  hold<T>(promise: PromiseLike<T>): Promise<T>;
  /** The names of pending waits. */
  readonly waits: readonly string[];
}

/** The time limit of {@link VirtualClock.run}. */
export interface RunOptions {
  /**
   * Virtual milliseconds after which it fails.
   * @default a day, and longer as long as fewer than 100 000 timers have fired: a long wait is not a hang
   */
  readonly limitMs?: number | undefined;
}

/** Options of a virtual clock. */
export interface VirtualClockOptions {
  /** `nowMs()` at the start. @default 0 */
  readonly startMs?: number | undefined;
}

const DEFAULT_RUN_LIMIT_MS = 86_400_000;
/** This many fired timers without an end count as a hang, once {@link DEFAULT_RUN_LIMIT_MS} have passed. */
const MAX_FIRINGS_PER_RUN = 100_000;

/**
 * The number of timers that may fire at one instant before it counts as a loop of zero-length timers. A thousand nodes
 * that each pass ten thousand messages at one instant stay below it.
 */
const MAX_FIRINGS_PER_INSTANT = 20_000_000;

/** @param options - the start time. */
export function createVirtualClock(options: VirtualClockOptions = {}): VirtualClock {
  return new VirtualClockLoop(quantity(options.startMs, 'startMs', 0, 0, Number.MAX_SAFE_INTEGER));
}

/** What a caller wants the loop to reach: an instant, or the settling of a promise. */
interface Goal {
  /** The instant for `advance`, the last allowed one for `run`. */
  untilMs: number;
  /** A `run` at its last instant continues until this many timers have fired in total. */
  readonly untilFired: number;
  readonly kind: 'advance' | 'run';
  done: boolean;
  finish(error?: Error): void;
}

class VirtualClockLoop implements VirtualClock {
  #nowMs: number;
  readonly #timers = new TimerQueue();
  readonly #goals = new Set<Goal>(); // Bounded by the pending calls.
  readonly #waits = new Set<{ readonly what: () => string }>(); // Bounded by the pending calls.
  #holds = 0;
  #onRelease: (() => void) | undefined;
  #running = false;

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  get waits(): readonly string[] {
    return Array.from(this.#waits, ({ what }) => what());
  }

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(atMs: number, callback: () => void, options?: TimerOptions): Timer {
    checkTimer(atMs, callback);
    return this.#timers.arm(Math.max(atMs, this.#nowMs), callback, options?.background ?? false);
  }

  noteWait(what: () => string): () => void {
    const wait = { what };
    this.#waits.add(wait);
    return () => void this.#waits.delete(wait);
  }

  advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + quantity(ms, 'ms', 0, 0, Number.MAX_SAFE_INTEGER);
    return new Promise((resolve, reject) => {
      this.#pursue({
        untilMs,
        untilFired: 0,
        kind: 'advance',
        done: false,
        finish: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
  }

  run<T>(promise: PromiseLike<T>, options: RunOptions = {}): Promise<T> {
    if (typeof (promise as Partial<PromiseLike<T>> | undefined)?.then !== 'function') {
      throw new TypeError(`Cannot run: expected a promise, got ${describeValue(promise)}`);
    }
    const limitMs = quantity(options.limitMs, 'limitMs', DEFAULT_RUN_LIMIT_MS, 0, Infinity);
    return new Promise<T>((resolve, reject) => {
      const goal: Goal = {
        untilMs: this.#nowMs + limitMs,
        untilFired: options.limitMs === undefined ? this.#fired + MAX_FIRINGS_PER_RUN : 0,
        kind: 'run',
        done: false,
        finish: (error) => error !== undefined && reject(error),
      };
      const settle =
        <V>(then: (value: V) => void) =>
        (value: V): void => {
          goal.done = true;
          then(value);
        };
      promise.then(settle(resolve), settle(reject));
      this.#pursue(goal);
    });
  }

  async hold<T>(promise: PromiseLike<T>): Promise<T> {
    this.#holds++;
    try {
      return await promise;
    } finally {
      this.#holds--;
      if (this.#holds === 0) this.#onRelease?.();
    }
  }

  #pursue(goal: Goal): void {
    this.#goals.add(goal);
    if (this.#running) return;
    this.#running = true;
    nextTurn(() => this.#turn());
  }

  /**
   * One turn: fires what is due now, yields to the event loop, then advances to the next instant when nothing more is
   * due.
   */
  #turn(): void {
    try {
      for (const goal of this.#goals) if (goal.done) this.#goals.delete(goal);
      const fired = this.#fireDue();
      if (fired === 0 && !this.#step()) {
        this.#running = false;
        return;
      }
      if (this.#holds > 0) this.#awaitRelease();
      else nextTurn(() => this.#turn());
    } catch (error) {
      this.#fail(error);
    }
  }

  #awaitRelease(): void {
    this.#onRelease = () => {
      this.#onRelease = undefined;
      nextTurn(() => this.#turn());
    };
  }

  #firedAtInstant = 0;
  /** The number of timers fired in total. */
  #fired = 0;

  /** A throwing timer is a bug of the code that set it: the loop stops and every goal rejects. */
  #fireDue(): number {
    let fired = 0;
    // Timers set by these wait for the next turn: promises settle in between.
    const { armed } = this.#timers;
    for (let entry = this.#due(armed); entry !== undefined; entry = this.#due(armed)) {
      fired++;
      entry.callback();
    }
    this.#firedAtInstant += fired;
    this.#fired += fired;
    return fired;
  }

  #due(before: number): TimerEntry | undefined {
    if (this.#firedAtInstant > MAX_FIRINGS_PER_INSTANT)
      throw new Error(`Virtual time stands still at ${this.#nowMs} ms: timers of zero length set each other endlessly`);
    return this.#timers.takeDue(this.#nowMs, before);
  }

  /** Nothing is due now. Advances to the next instant, or finishes goals. @returns whether there is more to do. */
  #step(): boolean {
    if (this.#holds > 0) return true;
    const reached = Array.from(this.#goals).filter((goal) => goal.untilMs <= this.#nowMs && !this.#prolong(goal));
    for (const goal of reached) this.#finish(goal, goal.kind === 'run' ? this.#overdue() : undefined);
    if (this.#goals.size === 0) return false;
    // Code that waited for this instant runs before time advances for the others.
    if (reached.length > 0) return true;
    // Background timers alone settle no promise, so they keep an `advance` running but not a `run`.
    const goesOn = this.#timers.awaited || Array.from(this.#goals).some(({ kind }) => kind === 'advance');
    if (!goesOn) {
      for (const goal of this.#goals) this.#finish(goal, this.#stalled());
      return false;
    }
    let next = this.#timers.nextAtMs() ?? Infinity;
    for (const goal of this.#goals) next = Math.min(next, goal.untilMs);
    this.#nowMs = next;
    this.#firedAtInstant = 0;
    return true;
  }

  /** @returns whether the goal gets more time. */
  #prolong(goal: Goal): boolean {
    if (goal.done || this.#fired >= goal.untilFired) return false;
    const nextMs = this.#timers.nextAtMs();
    if (nextMs === undefined || nextMs === Infinity) return false;
    goal.untilMs = Math.max(nextMs, this.#nowMs + DEFAULT_RUN_LIMIT_MS);
    return true;
  }

  #finish(goal: Goal, error?: Error): void {
    goal.done = true;
    this.#goals.delete(goal);
    goal.finish(error);
  }

  #fail(error: unknown): void {
    this.#running = false;
    const failure = error instanceof Error ? error : new Error('A timer threw', { cause: error });
    for (const goal of this.#goals) this.#finish(goal, failure);
  }

  #overdue(): Error {
    return new Error(`Virtual time ran to ${this.#nowMs} ms and the promise is still pending; ${this.#waiting()}`);
  }

  #stalled(): Error {
    return new Error(
      `Nothing is armed at ${this.#nowMs} ms and the promise is still pending; ${this.#waiting()}. ` +
        'Real I/O must be wrapped in clock.hold()',
    );
  }

  #waiting(): string {
    const waits = this.waits;
    const shown = waits.slice(0, 10).join(', ');
    if (waits.length === 0) return 'no wait is named';
    return `waiting: ${shown}${waits.length > 10 ? ` and ${waits.length - 10} more` : ''}`;
  }
}
