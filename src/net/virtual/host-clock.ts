/** The time of one host: that of its realm, except that nothing happens while the host sleeps. */

import type { Clock, ClockedRealm, Realm, Timer, TimerOptions } from '../../core/realm.ts';
import { clockOf } from '../../runtime/system-realm.ts';

/** A timer of a host: armed in the realm, or waiting for the host to wake. */
class HostTimer implements Timer {
  readonly #owner: HostClock;
  readonly #callback: () => void;
  readonly #options: TimerOptions | undefined;
  #timer: Timer;
  #isCancelled = false;

  constructor(owner: HostClock, atMs: number, callback: () => void, options: TimerOptions | undefined) {
    this.#owner = owner;
    this.#callback = callback;
    this.#options = options;
    this.#timer = owner.inner.setTimer(atMs, this.fire, options);
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#timer.cancel();
    this.#owner.parked.delete(this);
  }

  /** Fires as soon as it can, after what was due before. */
  rearm(): void {
    this.#timer = this.#owner.inner.setTimer(this.#owner.inner.nowMs(), this.fire, this.#options);
  }

  readonly fire = (): void => {
    if (this.#isCancelled) return;
    if (this.#owner.isAsleep) this.#owner.parked.add(this);
    else this.#callback();
  };
}

/** What is due during sleep fires at waking, in order. Time itself goes on, as it does on a machine that was suspended. */
export class HostClock implements Clock {
  readonly inner: Clock;
  /** Due and waiting for the host to wake, in order. Bounded by the timers of the host. */
  readonly parked: Set<HostTimer> = new Set();
  #isAsleep = false;

  constructor(inner: Clock) {
    this.inner = inner;
  }

  get isAsleep(): boolean {
    return this.#isAsleep;
  }

  nowMs(): number {
    return this.inner.nowMs();
  }

  setTimer(atMs: number, callback: () => void, options?: TimerOptions): Timer {
    return new HostTimer(this, atMs, callback, options);
  }

  noteWait(what: () => string): () => void {
    return this.inner.noteWait?.(what) ?? (() => undefined);
  }

  sleep(): void {
    this.#isAsleep = true;
  }

  wake(): void {
    this.#isAsleep = false;
    const due = [...this.parked];
    this.parked.clear();
    for (const timer of due) timer.rearm();
  }
}

/** The realm with the time of one host. */
export function hostRealm(realm: Realm): ClockedRealm & { readonly clock: HostClock } {
  const clock = new HostClock(clockOf(realm));
  return {
    clock,
    nowMs: () => realm.nowMs(),
    wallMs: () => realm.wallMs(),
    random: (length) => realm.random(length),
    trace: realm.trace,
  };
}
