/**
 * Which counters have been received: a sliding bitmap (RFC 6479), 8128 counters wide as in go-p2p and WireGuard.
 *
 * Words of 32 bits, so that no bigint is made. The ring holds 8192 counters, 64 more than the window, which is what lets
 * whole words be cleared when the window moves.
 */

import { REPLAY_WINDOW } from './constants.ts';

const WORDS = 256;

/** A replay window; empty at first. */
export class ReplayWindow {
  readonly #words = new Uint32Array(WORDS);
  #highest = 0;

  /** Whether `counter` can still be taken: neither seen nor too old. */
  isFresh(counter: number): boolean {
    if (counter > this.#highest) return true;
    if (this.#highest - counter > REPLAY_WINDOW) return false;
    return (this.#words[(counter >>> 5) & (WORDS - 1)]! & (1 << (counter & 31))) === 0;
  }

  /** Notes `counter` as received; only after its message has been authenticated. */
  mark(counter: number): void {
    if (counter > this.#highest) {
      const from = this.#highest >>> 5;
      const steps = Math.min((counter >>> 5) - from, WORDS);
      for (let i = 1; i <= steps; i++) this.#words[(from + i) & (WORDS - 1)] = 0;
      this.#highest = counter;
    }
    this.#words[(counter >>> 5) & (WORDS - 1)]! |= 1 << (counter & 31);
  }
}
