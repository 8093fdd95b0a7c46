/** The outgoing half of a machine: what it wants done, in order, and the deadlines it wants to be woken at. */

import { type Millis, type Output } from './machine.ts';

/**
 * Outputs and timers of one machine.
 *
 * @typeParam Timer - the machine's closed list of timers; at most one deadline of each is armed.
 */
export class Outbox<Transmit, Event, Timer extends string> {
  /** Bounded: what one input makes; drained by `poll` before the next. */
  readonly #outputs: Output<Transmit, Event>[] = [];
  #head = 0;
  /** Bounded by the timers there are. */
  readonly #deadlines = new Map<Timer, Millis>();
  #wait: { readonly type: 'wait'; readonly until: Millis | undefined } = { type: 'wait', until: undefined };

  /** Something to send. */
  transmit(transmit: Transmit): void {
    this.#outputs.push({ type: 'transmit', transmit });
  }

  /** Something to tell. */
  event(event: Event): void {
    this.#outputs.push({ type: 'event', event });
  }

  /** Sets a timer, or sets it anew; Infinity disarms it. */
  arm(timer: Timer, at: Millis): void {
    if (at === Infinity) this.#deadlines.delete(timer);
    else this.#deadlines.set(timer, at);
  }

  /** Takes a timer off. */
  disarm(timer: Timer): void {
    this.#deadlines.delete(timer);
  }

  /** Whether a timer is set. */
  isArmed(timer: Timer): boolean {
    return this.#deadlines.has(timer);
  }

  /**
   * The timers whose time has come, in the order in which they were armed; they are off then. All are taken before any is
   * handled: a handler that arms its timer again must not meet it in the same round.
   */
  takeDue(now: Millis): readonly Timer[] {
    const due: Timer[] = [];
    for (const [timer, at] of this.#deadlines) if (now >= at) due.push(timer);
    for (const timer of due) this.#deadlines.delete(timer);
    return due;
  }

  /** Forgets all outputs and timers. */
  clear(): void {
    this.#outputs.length = this.#head = 0;
    this.#deadlines.clear();
  }

  /** The next output, or the same `wait` as long as its deadline is the same. */
  poll(): Output<Transmit, Event> {
    if (this.#head < this.#outputs.length) return this.#outputs[this.#head++]!;
    if (this.#head > 0) this.#outputs.length = this.#head = 0;
    let earliest: Millis = Infinity;
    for (const at of this.#deadlines.values()) if (at < earliest) earliest = at;
    const until = earliest === Infinity ? undefined : earliest;
    if (this.#wait.until !== until) this.#wait = { type: 'wait', until };
    return this.#wait;
  }
}
