/** Token buckets: one for all, and one per source. */

import type { Millis } from './machine.ts';

/** Tokens that accumulate at a rate, up to a capacity; full at first. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #capacity: number;
  #tokens: number;
  #atMs: Millis;

  /** @param capacity - the maximum number of saved tokens; at least 1. */
  constructor(perSecond: number, capacity: number, now: Millis) {
    this.#perMs = perSecond / 1000;
    this.#capacity = Math.max(1, capacity);
    this.#tokens = this.#capacity;
    this.#atMs = now;
  }

  /** Takes `count` tokens, if there are as many. With a rate of Infinity there always are. */
  take(now: Millis, count = 1): boolean {
    if (this.#perMs === Infinity) return true;
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#atMs) * this.#perMs);
    this.#atMs = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }

  /** Puts back tokens that were taken and not used. */
  giveBack(count: number): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + count);
  }
}

/**
 * One bucket per source. The table is bounded: when it is full, the least recently used source is removed, and has a
 * full bucket when it returns.
 */
export class SourceBuckets {
  readonly #perSecond: number;
  readonly #capacity: number;
  readonly #maxSources: number;
  /** In the order of last use. Bounded by `maxSources`. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(perSecond: number, capacity: number, maxSources: number) {
    this.#perSecond = perSecond;
    this.#capacity = capacity;
    this.#maxSources = maxSources;
  }

  /** The number of sources in the table. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes `count` tokens of a source, if it has as many. */
  take(now: Millis, source: string, count = 1): boolean {
    let bucket = this.#buckets.get(source);
    if (bucket !== undefined) this.#buckets.delete(source);
    else {
      bucket = new TokenBucket(this.#perSecond, this.#capacity, now);
      if (this.#buckets.size >= this.#maxSources) this.#buckets.delete(this.#buckets.keys().next().value!);
    }
    this.#buckets.set(source, bucket);
    return bucket.take(now, count);
  }

  /** Puts back tokens of a source that were taken and not used. */
  giveBack(source: string, count: number): void {
    this.#buckets.get(source)?.giveBack(count);
  }

  /** Forgets a source: it has a full bucket again. */
  forget(source: string): void {
    this.#buckets.delete(source);
  }
}
