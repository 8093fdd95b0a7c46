/** The outputs of a machine, in order, and its deadlines. */

import type { Millis, Output } from './machine.ts';

/** The places that an outbox without outputs keeps. */
const MAX_IDLE_OUTPUTS = 64;

/**
 * Outputs and timers of one machine.
 *
 * @typeParam Timer - the machine's fixed list of timers; each has at most one deadline.
 */
export class Outbox<Transmit, Event, Timer extends string> {
  /** Bounded by the outputs of one input; `poll` drains it before the next. */
  #outputs: (Output<Transmit, Event> | undefined)[] = [];
  #head = 0;
  #end = 0;
  /** Bounded by the number of timers. */
  readonly #deadlines = new Map<Timer, Millis>();
  #wait: { readonly type: 'wait'; readonly until: Millis | undefined } = { type: 'wait', until: undefined };
  /** Whether a deadline has changed since `#wait` was made. */
  #isMoved = false;

  /** Adds bytes to send. */
  transmit(transmit: Transmit): void {
    this.#outputs[this.#end++] = { type: 'transmit', transmit };
  }

  /** Adds an event. */
  event(event: Event): void {
    this.#outputs[this.#end++] = { type: 'event', event };
  }

  /** Sets or moves a timer; Infinity cancels it. */
  arm(timer: Timer, at: Millis): void {
    this.#isMoved = true;
    if (at === Infinity) this.#deadlines.delete(timer);
    else this.#deadlines.set(timer, at);
  }

  /** Cancels a timer. */
  disarm(timer: Timer): void {
    this.#isMoved = true;
    this.#deadlines.delete(timer);
  }

  /** Whether a timer is set. */
  isArmed(timer: Timer): boolean {
    return this.#deadlines.has(timer);
  }

  /**
   * Removes and returns the timers that are due, in the order in which they were set. All are removed before any is
   * handled: a handler that sets its timer again must not run twice in one round.
   */
  takeDue(now: Millis): readonly Timer[] {
    this.#isMoved = true;
    const due: Timer[] = [];
    for (const [timer, at] of this.#deadlines) if (now >= at) due.push(timer);
    for (const timer of due) this.#deadlines.delete(timer);
    return due;
  }

  /** Removes all outputs and timers. */
  clear(): void {
    this.#isMoved = true;
    this.#outputs = [];
    this.#head = this.#end = 0;
    this.#deadlines.clear();
  }

  /** The next output; returns the same `wait` object as long as its deadline is unchanged. */
  poll(): Output<Transmit, Event> {
    if (this.#head < this.#end) {
      const output = this.#outputs[this.#head]!;
      this.#outputs[this.#head++] = undefined;
      return output;
    }
    // An array that is made shorter is slow to grow again.
    if (this.#end > MAX_IDLE_OUTPUTS) this.#outputs = [];
    this.#head = this.#end = 0;
    if (!this.#isMoved) return this.#wait;
    this.#isMoved = false;
    let earliest: Millis = Infinity;
    for (const at of this.#deadlines.values()) if (at < earliest) earliest = at;
    const until = earliest === Infinity ? undefined : earliest;
    if (this.#wait.until !== until) this.#wait = { type: 'wait', until };
    return this.#wait;
  }
}
