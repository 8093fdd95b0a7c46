/**
 * The loop that runs a sans-IO machine: it takes outputs until the machine returns `wait`, transmits, passes on events,
 * and calls the machine at its deadline.
 */

import type { Machine } from '../base/machine.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from './system-realm.ts';

/** How a driver handles a machine's outputs. */
export interface DriverOptions<Transmit, Event> {
  readonly realm: Realm;
  /** Sends; must not throw. */
  readonly transmit: (transmit: Transmit) => void;
  /** Handles an event; must not throw. It may call methods of the machine; the driver then polls again. */
  readonly event: (event: Event) => void;
  /**
   * Receives the bug when the machine never returns `wait`, or asks for the same deadline forever; the driver has then
   * stopped. Close what depends on the machine.
   */
  readonly failed: (bug: Error) => void;
  /**
   * The machine's deadlines are housekeeping that no call waits for; a function is called at each deadline. @default
   * false
   */
  readonly background?: boolean | (() => boolean) | undefined;
}

/**
 * The maximum number of outputs in one poll. A machine that never returns `wait` would block the process; this many
 * outputs for one input mean that it is faulty. (1 MiB in 255-byte parts needs 4113.)
 */
const MAX_OUTPUTS_PER_POLL = 100_000;

/** The number of times a machine may be called without time advancing; one that asks for more would loop forever. */
const MAX_WAKES_PER_INSTANT = 1000;

/** Drives one machine. */
export class Driver<Transmit, Event> {
  readonly #machine: Machine<Transmit, Event>;
  readonly #options: DriverOptions<Transmit, Event>;
  #timer: Timer | undefined;
  #armedMs: number | undefined;
  #polling = false;
  #again = false;
  #stopped = false;
  #wokenMs = Number.NaN;
  #wakes = 0;

  constructor(machine: Machine<Transmit, Event>, options: DriverOptions<Transmit, Event>) {
    this.#machine = machine;
    this.#options = options;
  }

  /**
   * Takes all outputs. Call it after every input to the machine; it may be called from within `transmit` or `event`.
   */
  poll(): void {
    if (this.#polling) {
      this.#again = true;
      return;
    }
    this.#polling = true;
    try {
      for (let outputs = 0; !this.#stopped; outputs++) {
        if (outputs >= MAX_OUTPUTS_PER_POLL) {
          this.#fail(`${MAX_OUTPUTS_PER_POLL} outputs without a wait`);
          return;
        }
        const output = this.#machine.poll();
        if (output.type === 'transmit') this.#options.transmit(output.transmit);
        else if (output.type === 'event') this.#options.event(output.event);
        else if (this.#again) this.#again = false;
        else {
          this.#arm(output.until);
          return;
        }
      }
    } finally {
      this.#polling = false;
      this.#again = false;
    }
  }

  /** Cancels the timer and takes no more outputs. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(until: number | undefined): void {
    if (until === this.#armedMs && (until === undefined || this.#timer !== undefined)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedMs = until;
    if (until === undefined || until === Infinity || this.#stopped) return;
    const { realm, background } = this.#options;
    const options = { background: typeof background === 'function' ? background() : background };
    this.#timer = clockOf(realm).setTimer(until, () => this.#wake(), options);
  }

  #wake(): void {
    this.#timer = undefined;
    this.#armedMs = undefined;
    const nowMs = this.#options.realm.nowMs();
    this.#wakes = nowMs === this.#wokenMs ? this.#wakes + 1 : 1;
    this.#wokenMs = nowMs;
    if (this.#wakes > MAX_WAKES_PER_INSTANT) {
      this.#fail(`${MAX_WAKES_PER_INSTANT} deadlines at one instant`);
      return;
    }
    this.#machine.handleTimeout(nowMs);
    this.poll();
  }

  #fail(what: string): void {
    this.stop();
    this.#options.failed(new Error(`Bug in a machine: ${what}`));
  }
}
