/**
 * Timers in order of time, and of creation within one instant. Setting and firing need no comparison when many timers
 * share an instant, which is the common case in a virtual network.
 */

import type { Timer } from '../core/realm.ts';

/** A pending timer. */
export class TimerEntry implements Timer {
  readonly callback: () => void;
  readonly background: boolean;
  /** Timers set later have larger numbers. */
  readonly order: number;
  /** The bucket of its instant, while pending. */
  bucket: Bucket | undefined;
  readonly #queue: TimerQueue;

  constructor(callback: () => void, background: boolean, order: number, bucket: Bucket, queue: TimerQueue) {
    this.callback = callback;
    this.background = background;
    this.order = order;
    this.bucket = bucket;
    this.#queue = queue;
  }

  cancel(): void {
    this.#queue.disarm(this);
  }
}

/** The timers of one instant. */
interface Bucket {
  readonly atMs: number;
  /** In order of creation; cancelled ones stay until the bucket is swept. */
  entries: TimerEntry[];
  /** Entries before this have fired. */
  head: number;
  /** Pending entries. */
  live: number;
}

/** Entries of one instant that have fired are removed when there are this many. */
const FIRED_SLACK = 4096;

/** Cancelled entries are removed when they outnumber the pending ones by this. */
const SWEEP_SLACK = 64;

/** Bounded by the pending timers: cancelled entries never outnumber them by more than a constant per instant. */
export class TimerQueue {
  readonly #buckets = new Map<number, Bucket>();
  /** A binary heap of the instants in `#buckets`, earliest first. */
  readonly #instants: number[] = [];
  #foreground = 0;
  #order = 0;

  /** The number of timers ever set: new timers have this order or a larger one. */
  get armed(): number {
    return this.#order;
  }

  arm(atMs: number, callback: () => void, background: boolean): TimerEntry {
    let bucket = this.#buckets.get(atMs);
    if (bucket === undefined) {
      bucket = { atMs, entries: [], head: 0, live: 0 };
      this.#buckets.set(atMs, bucket);
      this.#push(atMs);
    }
    const entry = new TimerEntry(callback, background, this.#order++, bucket, this);
    bucket.entries.push(entry);
    bucket.live++;
    if (!background) this.#foreground++;
    return entry;
  }

  disarm(entry: TimerEntry): void {
    const bucket = entry.bucket;
    if (bucket === undefined) return;
    entry.bucket = undefined;
    bucket.live--;
    if (!entry.background) this.#foreground--;
    if (bucket.entries.length - bucket.head > 2 * bucket.live + SWEEP_SLACK) {
      bucket.entries = bucket.entries.filter((other, i) => i >= bucket.head && other.bucket !== undefined);
      bucket.head = 0;
    }
  }

  /**
   * Removes and returns the next timer that is due at `nowMs`; `undefined` when there is none.
   *
   * @param before - timers of this order and later ones are skipped.
   */
  takeDue(nowMs: number, before: number): TimerEntry | undefined {
    for (let instant = this.#instants[0]; instant !== undefined && instant <= nowMs; instant = this.#instants[0]) {
      const bucket = this.#buckets.get(instant)!;
      while (bucket.head < bucket.entries.length) {
        const entry = bucket.entries[bucket.head]!;
        if (entry.bucket !== undefined && entry.order >= before) return undefined;
        bucket.head++;
        if (bucket.head > FIRED_SLACK && 2 * bucket.head > bucket.entries.length) {
          bucket.entries = bucket.entries.slice(bucket.head);
          bucket.head = 0;
        }
        if (entry.bucket === undefined) continue;
        entry.bucket = undefined;
        bucket.live--;
        if (!entry.background) this.#foreground--;
        return entry;
      }
      this.#drop(bucket);
    }
    return undefined;
  }

  /** Whether any pending timer is not housekeeping. */
  get awaited(): boolean {
    return this.#foreground > 0;
  }

  /** The time of the next timer. */
  nextAtMs(): number | undefined {
    for (let instant = this.#instants[0]; instant !== undefined; instant = this.#instants[0]) {
      const bucket = this.#buckets.get(instant)!;
      if (bucket.live > 0) return instant;
      this.#drop(bucket);
    }
    return undefined;
  }

  /** Removes the earliest bucket. */
  #drop(bucket: Bucket): void {
    this.#buckets.delete(bucket.atMs);
    const last = this.#instants.pop()!;
    if (this.#instants.length > 0) this.#sink(last);
  }

  #push(instant: number): void {
    const heap = this.#instants;
    let at = heap.push(instant) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= instant) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = instant;
  }

  /** Puts `instant` at the root of the heap and moves it down to its position. */
  #sink(instant: number): void {
    const heap = this.#instants;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= instant) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = instant;
  }
}
