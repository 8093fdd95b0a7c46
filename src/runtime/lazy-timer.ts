/** A timer that is set and cleared for almost every message, and almost never fires. */

import type { Realm, Timer } from '../core/realm.ts';
import { systemClock } from './system-clock.ts';
import { clockOf } from './system-realm.ts';

/**
 * In system time, clearing leaves the timer of the system where it is: when that fires, it is set again if there is still something to
 * wait for. So a busy connection sets one timer in each of its time limits, and not two for each message. The timer does not keep the
 * process running: what is waited for does. In virtual time each `set` is a timer of its own, and each `clear` cancels it.
 */
export class LazyTimer {
  readonly #realm: Realm;
  readonly #act: () => void;
  readonly #isSystem: boolean;
  #atMs = Infinity;
  #timer: Timer | undefined;
  /** When `#timer` fires. */
  #timerAtMs = Infinity;

  /** @param act - called at the time that was set last, once for each `set`. */
  constructor(realm: Realm, act: () => void) {
    this.#realm = realm;
    this.#act = act;
    this.#isSystem = clockOf(realm) === systemClock;
  }

  /** Sets or moves the timer. */
  set(atMs: number): void {
    if (!this.#isSystem) this.stop();
    this.#atMs = atMs;
    if (atMs < this.#timerAtMs) this.#arm();
  }

  /** Nothing is waited for any more. */
  clear(): void {
    this.#atMs = Infinity;
    if (!this.#isSystem) this.stop();
  }

  /** Clears the timer, and leaves none behind in the system. */
  stop(): void {
    this.#atMs = this.#timerAtMs = Infinity;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timerAtMs = this.#atMs;
    this.#timer = clockOf(this.#realm).setTimer(this.#atMs, this.#onTimer, { background: this.#isSystem });
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    if (this.#atMs === Infinity) return;
    if (this.#realm.nowMs() < this.#atMs) {
      this.#arm();
      return;
    }
    this.#atMs = Infinity;
    this.#act();
  };
}
