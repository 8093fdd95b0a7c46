/** Which peers are due, and when the next one is. */

import type { Millis } from '../../../base/machine.ts';

interface Item<T> {
  readonly atMs: Millis;
  readonly order: number;
  readonly value: T;
}

/** Values by time, each with at most one. A binary heap; replaced times stay in it until they come up, at most as many as values. */
export class DueQueue<T> {
  /** Bounded by twice the values, and by 64: it is rebuilt when it has more. */
  #heap: Item<T>[] = [];
  /** Bounded by the owner's values. */
  readonly #current = new Map<T, Item<T>>();
  #order = 0;

  /** The earliest time; `undefined` when there is none. */
  get nextMs(): Millis | undefined {
    this.#trim();
    return this.#heap[0]?.atMs;
  }

  /** Sets the time of a value; Infinity removes it. */
  set(value: T, atMs: Millis): void {
    if (atMs === Infinity) {
      this.#current.delete(value);
      return;
    }
    if (this.#current.get(value)?.atMs === atMs) return;
    const item = { atMs, order: this.#order++, value };
    this.#current.set(value, item);
    this.#heap.push(item);
    this.#up(this.#heap.length - 1);
    if (this.#heap.length > 64 && this.#heap.length > 2 * this.#current.size) this.#rebuild();
  }

  /** Removes and returns the values that are due, the earliest first. */
  takeDue(now: Millis): readonly T[] {
    const due: T[] = [];
    for (let at = this.nextMs; at !== undefined && at <= now; at = this.nextMs) {
      const { value } = this.#pop();
      this.#current.delete(value);
      due.push(value);
    }
    return due;
  }

  #rebuild(): void {
    this.#heap = [...this.#current.values()].toSorted(compare);
  }

  /** Removes replaced times from the top. */
  #trim(): void {
    while (this.#heap.length > 0 && this.#current.get(this.#heap[0]!.value) !== this.#heap[0]) this.#pop();
  }

  #pop(): Item<T> {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length > 0) {
      heap[0] = last;
      this.#down(0);
    }
    return top;
  }

  #up(start: number): void {
    const heap = this.#heap;
    for (let at = start; at > 0;) {
      const parent = (at - 1) >> 1;
      if (compare(heap[parent]!, heap[at]!) <= 0) return;
      [heap[parent], heap[at]] = [heap[at]!, heap[parent]!];
      at = parent;
    }
  }

  #down(start: number): void {
    const heap = this.#heap;
    for (let at = start; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && compare(heap[child]!, heap[least]!) < 0) least = child;
      }
      if (least === at) return;
      [heap[least], heap[at]] = [heap[at]!, heap[least]!];
      at = least;
    }
  }
}

const compare = (a: Item<unknown>, b: Item<unknown>): number => a.atMs - b.atMs || a.order - b.order;
