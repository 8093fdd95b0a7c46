/** A first-in first-out queue that refuses instead of growing. */

import { quantity, wholeNumber } from '../base/checks.ts';

/** What a {@link BoundedQueue} holds at most. */
export interface QueueLimits {
  readonly maxItems: number;
  /** @default Infinity: items are not weighed */
  readonly maxBytes?: number | undefined;
}

/** Bounded by `maxItems` and `maxBytes`. */
export class BoundedQueue<T> {
  readonly maxItems: number;
  readonly maxBytes: number;
  #items: { readonly item: T; readonly bytes: number }[] = [];
  #head = 0;
  #bytes = 0;

  /** @throws {TypeError | RangeError} when a limit is no number, or below 1 item. */
  constructor(limits: QueueLimits) {
    // NaN stands for what was not given: there is no default.
    this.maxItems = wholeNumber(limits.maxItems ?? Number.NaN, 'maxItems', 0, 1, Number.MAX_SAFE_INTEGER);
    this.maxBytes = quantity(limits.maxBytes, 'maxBytes', Infinity, 0, Infinity);
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns whether there was room. An empty queue takes one item of any size. */
  push(item: T, bytes = 0): boolean {
    if (this.length >= this.maxItems || (this.length > 0 && this.#bytes + bytes > this.maxBytes)) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** The oldest item, taken out; `undefined` when there is none. */
  shift(): T | undefined {
    const first = this.#items[this.#head];
    if (first === undefined) return undefined;
    this.#head++;
    this.#bytes -= first.bytes;
    // Taking from the front of an array is slow; the taken ones are cut off when they are the larger part.
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return first.item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
