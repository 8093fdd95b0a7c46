/**
 * The one loop that runs a sans-IO machine: it takes outputs until the machine says `wait`, sends what is to be sent,
 * hands on events, and wakes the machine at its deadline.
 */

import { type Machine } from '../base/machine.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { clockOf } from './system-realm.ts';

/** What a driver does with a machine's outputs. */
export interface DriverOptions<Transmit, Event> {
  readonly realm: Realm;
  /** Sends; must not throw. */
  readonly transmit: (transmit: Transmit) => void;
  /** Takes an event; must not throw. It may call the machine's verbs, the driver polls again. */
  readonly event: (event: Event) => void;
  /**
   * Takes the bug, when the machine never says `wait` or wants to be woken at the same instant for ever; the driver has
   * stopped by then. Close what depends on the machine.
   */
  readonly failed: (bug: Error) => void;
  /** The machine's deadlines are housekeeping that no call waits for; a function is called at each deadline. @default false */
  readonly background?: boolean | (() => boolean) | undefined;
}

/**
 * How many outputs a machine may give in one go. A machine that never says `wait` would hang the process; this many
 * outputs for one input mean that it is broken. (1 MiB in 255-byte parts is 4113.)
 */
export const MAX_OUTPUTS_PER_POLL = 100_000;

/** How often a machine may be woken without time moving on; one that asks for more would spin for ever. */
export const MAX_WAKES_PER_INSTANT = 1000;

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

  /** Takes all outputs. Call it after every input to the machine; calls from within `transmit` or `event` are fine. */
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

  /** Disarms the timer and takes no more outputs. Idempotent. */
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
