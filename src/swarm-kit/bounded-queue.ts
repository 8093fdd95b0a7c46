/** A first-in first-out queue that rejects items when it is full. */

import { quantity, wholeNumber } from '../base/checks.ts';

/** The limits of a {@link BoundedQueue}. */
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

  /** @throws {TypeError | RangeError} when a limit is not a number, or below 1 item. */
  constructor(limits: QueueLimits) {
    // NaN makes the check fail: `maxItems` has no default.
    this.maxItems = wholeNumber(limits.maxItems ?? Number.NaN, 'maxItems', 0, 1, Number.MAX_SAFE_INTEGER);
    this.maxBytes = quantity(limits.maxBytes, 'maxBytes', Infinity, 0, Infinity);
  }

  get length(): number {
    return this.#items.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @returns whether the item was added. An empty queue takes one item of any size. */
  push(item: T, bytes = 0): boolean {
    if (this.length >= this.maxItems || (this.length > 0 && this.#bytes + bytes > this.maxBytes)) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** Removes and returns the oldest item; `undefined` when the queue is empty. */
  shift(): T | undefined {
    const first = this.#items[this.#head];
    if (first === undefined) return undefined;
    this.#head++;
    this.#bytes -= first.bytes;
    // Removing from the front of an array is slow: removed items are cut off once they are more than half of it.
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
