/** A budget that fills with time. */

import { type Millis } from '../../base/machine.ts';

/** Tokens that come at a rate, up to a capacity; full at first. */
export class Bucket {
  readonly #perMs: number;
  readonly #capacity: number;
  #tokens: number;
  #atMs: Millis;

  /** @param capacity - how many tokens may be saved up; at least 1. */
  constructor(perSecond: number, capacity: number, now: Millis) {
    this.#perMs = perSecond / 1000;
    this.#capacity = Math.max(1, capacity);
    this.#tokens = this.#capacity;
    this.#atMs = now;
  }

  /** Takes one, if there is one. */
  take(now: Millis): boolean {
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#atMs) * this.#perMs);
    this.#atMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
