/**
 * Timers in order of instant, and of arming within one instant. Arming and firing cost no comparison when many timers
 * share an instant, which is the common case in a virtual network.
 */

import { type Timer } from '../core/realm.ts';

/** An armed timer. */
export class TimerEntry implements Timer {
  readonly callback: () => void;
  readonly background: boolean;
  /** Timers armed later have larger numbers. */
  readonly order: number;
  /** The instant's list it is in, while armed. */
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
  /** In order of arming; disarmed ones stay until the bucket is swept. */
  entries: TimerEntry[];
  /** Entries before this have fired. */
  head: number;
  /** Armed entries. */
  live: number;
}

/** Disarmed entries are swept out when they outnumber the armed ones by this. */
const SWEEP_SLACK = 64;

/** Bounded by what is armed: disarmed entries never outnumber the armed ones by more than a constant per instant. */
export class TimerQueue {
  readonly #buckets = new Map<number, Bucket>();
  /** A binary heap of the instants in `#buckets`, earliest first. */
  readonly #instants: number[] = [];
  #foreground = 0;
  #order = 0;

  /** How many timers were ever armed: those armed from now on have this order or a larger one. */
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
   * Takes the next timer that is due at `nowMs`, disarmed; `undefined` when there is none.
   *
   * @param before - timers of this order and later ones are left alone.
   */
  takeDue(nowMs: number, before: number): TimerEntry | undefined {
    for (let instant = this.#instants[0]; instant !== undefined && instant <= nowMs; instant = this.#instants[0]) {
      const bucket = this.#buckets.get(instant)!;
      while (bucket.head < bucket.entries.length) {
        const entry = bucket.entries[bucket.head]!;
        if (entry.bucket !== undefined && entry.order >= before) return undefined;
        bucket.head++;
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

  /** Whether any armed timer is more than housekeeping. */
  get awaited(): boolean {
    return this.#foreground > 0;
  }

  /** The instant of the next timer. */
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

  /** Puts `instant` at the root and lets it sink to its place. */
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
