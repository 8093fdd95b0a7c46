/** Runs attempts to connect, a few at a time; the first that succeeds wins. */

import { P2PError } from '../core/errors.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { DialWaiter } from '../sessions/dials.ts';

/** Options of a race. */
export interface RaceOptions<C> {
  readonly realm: Realm;
  readonly staggerMs: number;
  readonly maxParallel: number;
  /** The longest time for each attempt. */
  readonly timeoutMs: number;
  /** Texts of the addresses, in order, for errors. */
  readonly candidates: readonly string[];
  /** Begins an attempt and returns a function that cancels it. */
  readonly attempt: (index: number, waiter: DialWaiter<C>) => () => void;
  readonly won: (connection: C) => void;
  /** Called with one error for each candidate, in order. */
  readonly lost: (errors: readonly P2PError[]) => void;
}

interface Attempt {
  cancel: (() => void) | undefined;
  timer: Timer | undefined;
}

export class Race<C> {
  readonly #options: RaceOptions<C>;
  /** Bounded by `maxParallel`. */
  readonly #running = new Map<number, Attempt>();
  readonly #errors: P2PError[] = [];
  #failed = 0;
  #next = 0;
  #stagger: Timer | undefined;
  #over = false;

  constructor(options: RaceOptions<C>) {
    this.#options = options;
  }

  /** Starts attempts as far as the options allow. */
  start(): void {
    const { candidates, maxParallel, staggerMs, realm } = this.#options;
    while (!this.#over && this.#next < candidates.length && this.#running.size < maxParallel) {
      if (this.#stagger !== undefined) return;
      this.#begin(this.#next++);
      if (staggerMs === 0 || this.#next >= candidates.length || this.#over) continue;
      this.#stagger = clockOf(realm).setTimer(realm.nowMs() + staggerMs, () => {
        this.#stagger = undefined;
        this.start();
      });
    }
  }

  /** Cancels the attempts under way. Idempotent. */
  stop(): void {
    this.#over = true;
    this.#stagger?.cancel();
    for (const { cancel, timer } of this.#running.values()) {
      timer?.cancel();
      cancel?.();
    }
    this.#running.clear();
  }

  #begin(index: number): void {
    const { realm, timeoutMs, candidates } = this.#options;
    const attempt: Attempt = { cancel: undefined, timer: undefined };
    this.#running.set(index, attempt);
    const end = (result: C | P2PError): void => {
      if (this.#over || !this.#running.delete(index)) return;
      attempt.timer?.cancel();
      if (result instanceof P2PError) this.#fail(index, result);
      else {
        this.stop();
        this.#options.won(result);
      }
    };
    if (timeoutMs !== Infinity) {
      attempt.timer = clockOf(realm).setTimer(realm.nowMs() + timeoutMs, () => {
        const cancel = attempt.cancel;
        const why = `Cannot reach ${candidates[index]}: no answer within ${timeoutMs} ms`;
        end(new P2PError('timeout', 'path', why, { sent: 'no' }));
        cancel?.();
      });
    }
    const cancel = this.#options.attempt(index, end);
    if (this.#running.get(index) === attempt) attempt.cancel = cancel;
  }

  /** An attempt has failed: the next one starts at once. */
  #fail(index: number, error: P2PError): void {
    this.#errors[index] = error;
    this.#failed++;
    if (this.#failed === this.#options.candidates.length) {
      this.#over = true;
      this.#options.lost(this.#errors);
      return;
    }
    this.#stagger?.cancel();
    this.#stagger = undefined;
    this.start();
  }
}
