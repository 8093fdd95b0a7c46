/**
 * The bucket cache of go-p2p: a bounded map around a locus, which keeps what is close to it. A full cache evicts from
 * the farthest bucket that has more than its minimum, and there the newest entry: old entries have proven themselves.
 */

import { compareBytes, copyBytes, type Bytes } from '../../base/bytes.ts';
import { assertBytes, wholeNumber } from '../../base/checks.ts';
import { compareDistances, distanceLeadingZeros, hasBitPrefix } from './distance.ts';

/** An entry of a {@link BucketCache}. Times are milliseconds on the caller's clock. */
export interface CacheEntry<V> {
  readonly key: Bytes;
  readonly value: V;
  readonly createdMs: number;
  /** From then on the entry counts as absent; `Infinity` for never. */
  readonly expiresMs: number;
}

/** What putting an entry did. */
export interface CacheChange<V> {
  /** Whether the cache has the entry now. False when it was itself the one to evict, or nothing could be evicted. */
  readonly added: boolean;
  /** The entry that made room. */
  readonly evicted: CacheEntry<V> | undefined;
}

/** The longest key. */
const MAX_KEY_BYTES = 1024;

/** One character for each byte, as a map key. */
const textOf = (key: Uint8Array): string => String.fromCharCode(...key);

/** Entries by key, in buckets by the number of leading bits that they share with the locus. */
export class BucketCache<V> {
  readonly #locus: Bytes;
  readonly #max: number;
  readonly #minPerBucket: number;
  /**
   * By shared bits, made when first used; a key that shares all bits of the locus is in the last one. All together bounded
   * by `max`.
   */
  readonly #buckets: (Map<string, CacheEntry<V>> | undefined)[] = [];
  #count = 0;

  /**
   * @param locus - the key around which it keeps entries, usually the own ID; 1 to 1024 bytes.
   * @param max - entries in all; 0 stores nothing.
   * @param minPerBucket - entries that no bucket loses to another one. @default 0
   * @throws {RangeError} when all buckets at their minimum would not fit.
   */
  constructor(locus: Uint8Array, max: number, minPerBucket: number = 0) {
    assertBytes(locus, 'locus');
    if (locus.length < 1 || locus.length > MAX_KEY_BYTES) {
      throw new RangeError(`Cannot take locus: expected 1 to ${MAX_KEY_BYTES} bytes, got ${locus.length}`);
    }
    this.#locus = copyBytes(locus);
    this.#max = wholeNumber(max, 'max', 0, 0, 2 ** 24);
    this.#minPerBucket = wholeNumber(minPerBucket, 'minPerBucket', 0, 0, 2 ** 24);
    const least = this.#minPerBucket * 8 * locus.length;
    if (least > this.#max) {
      throw new RangeError(
        `Cannot take minPerBucket: ${8 * locus.length} buckets need ${least} entries, max is ${max}`,
      );
    }
  }

  /** A copy of the locus. */
  get locus(): Bytes {
    return copyBytes(this.#locus);
  }

  /** The number of entries, expired ones included until {@link BucketCache.expire}. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count >= this.#max;
  }

  /**
   * The number of leading bits that a new key must share with the locus to be kept: 0 while there is room, else those of
   * the first bucket that can give an entry away, plus 1.
   */
  get acceptingPrefixBits(): number {
    if (!this.isFull) return 0;
    const index = this.#evictable();
    return index === undefined ? 8 * this.#locus.length + 1 : index + 1;
  }

  /** The entry of a key, unless it has expired. */
  get(key: Uint8Array, nowMs: number): CacheEntry<V> | undefined {
    const entry = this.#known(key)?.get(textOf(key));
    return entry === undefined || entry.expiresMs <= nowMs ? undefined : entry;
  }

  /** Whether the cache has an entry for `key` that has not expired. */
  has(key: Uint8Array, nowMs: number): boolean {
    return this.get(key, nowMs) !== undefined;
  }

  /** Stores a value; a known key keeps its `createdMs`. */
  put(key: Uint8Array, value: V, nowMs: number, expiresMs: number): CacheChange<V> {
    return this.update(key, (before) => ({ value, createdMs: before?.createdMs ?? nowMs, expiresMs }), nowMs);
  }

  /**
   * Replaces the entry of a key by what `change` returns for it.
   *
   * @param change - gets the entry, unless there is none or it has expired.
   */
  update(
    key: Uint8Array,
    change: (before: CacheEntry<V> | undefined) => Omit<CacheEntry<V>, 'key'>,
    nowMs: number,
  ): CacheChange<V> {
    assertBytes(key, 'key');
    if (key.length < 1 || key.length > MAX_KEY_BYTES) {
      throw new RangeError(`Cannot take key: expected 1 to ${MAX_KEY_BYTES} bytes, got ${key.length}`);
    }
    if (this.#max === 0) return { added: false, evicted: undefined };
    const bucket = (this.#buckets[this.#indexOf(key)] ??= new Map());
    const text = textOf(key);
    const known = bucket.get(text);
    const before = known === undefined || known.expiresMs <= nowMs ? undefined : known;
    const { value, createdMs, expiresMs } = change(before);
    const entry: CacheEntry<V> = { key: known?.key ?? copyBytes(key), value, createdMs, expiresMs };
    bucket.set(text, entry);
    if (known !== undefined) return { added: true, evicted: undefined };
    this.#count++;
    if (this.#count <= this.#max) return { added: true, evicted: undefined };
    const index = this.#evictable();
    // With all buckets at their minimum there is no room for a bucket above it.
    const evicted = index === undefined ? entry : newestOf(this.#buckets[index]!);
    this.delete(evicted.key);
    return evicted === entry ? { added: false, evicted: undefined } : { added: true, evicted };
  }

  /** Whether a put of `key` would change the cache: it is known, or would be added. */
  wouldPut(key: Uint8Array, nowMs: number): boolean {
    return this.#known(key)?.has(textOf(key)) === true || this.wouldAdd(key, nowMs);
  }

  /** Whether a new key created at `nowMs` would be added. False for a known one. */
  wouldAdd(key: Uint8Array, nowMs: number): boolean {
    if (this.#max === 0) return false;
    const bucket = this.#known(key);
    if (bucket?.has(textOf(key)) === true) return false;
    if (!this.isFull) return true;
    const own = this.#indexOf(key);
    const index = this.#evictable(own);
    if (index === undefined) return false;
    if (index !== own) return true;
    // It competes with the entries of its own bucket, where the newest is evicted.
    for (const { createdMs } of bucket?.values() ?? []) if (createdMs > nowMs) return true;
    return false;
  }

  /** @returns the removed entry. */
  delete(key: Uint8Array): CacheEntry<V> | undefined {
    const bucket = this.#known(key);
    const text = textOf(key);
    const entry = bucket?.get(text);
    if (bucket === undefined || entry === undefined) return undefined;
    bucket.delete(text);
    this.#count--;
    return entry;
  }

  /** Removes and returns the entries that have expired. */
  expire(nowMs: number): CacheEntry<V>[] {
    const expired: CacheEntry<V>[] = [];
    for (const bucket of this.#buckets) {
      for (const [text, entry] of bucket ?? []) {
        if (entry.expiresMs > nowMs) continue;
        bucket?.delete(text);
        this.#count--;
        expired.push(entry);
      }
    }
    return expired;
  }

  /** All entries from the closest to `key` to the farthest; expired ones too. Do not change the cache in between. */
  *nearest(key: Uint8Array): Generator<CacheEntry<V>, void, undefined> {
    const first = this.#indexOf(key);
    const order = [first];
    // Keys of all closer buckets share the same bits with `key`: they are one group.
    const closer: CacheEntry<V>[] = [];
    for (let i = first + 1; i < this.#buckets.length; i++) closer.push(...(this.#buckets[i]?.values() ?? []));
    for (let i = first - 1; i >= 0; i--) order.push(i);
    const sorted = (entries: CacheEntry<V>[]): CacheEntry<V>[] =>
      entries.toSorted((a, b) => compareDistances(key, a.key, b.key) || compareBytes(a.key, b.key));
    for (const index of order) {
      yield* sorted([...(this.#buckets[index]?.values() ?? [])]);
      if (index === first) yield* sorted(closer);
    }
  }

  /** The entry closest to `key`. */
  closest(key: Uint8Array): CacheEntry<V> | undefined {
    for (const entry of this.nearest(key)) return entry;
    return undefined;
  }

  /** The entries whose keys begin with the first `bits` bits of `prefix`, from the closest to `prefix` on. */
  *matching(prefix: Uint8Array, bits: number): Generator<CacheEntry<V>, void, undefined> {
    for (const entry of this.nearest(prefix)) if (hasBitPrefix(entry.key, prefix, bits)) yield entry;
  }

  /** The entries that are closer to `key` than the locus is, from the closest on. */
  *closerThanLocus(key: Uint8Array): Generator<CacheEntry<V>, void, undefined> {
    for (const entry of this.nearest(key)) {
      if (compareDistances(key, entry.key, this.#locus) >= 0) return;
      yield entry;
    }
  }

  #indexOf(key: Uint8Array): number {
    return distanceLeadingZeros(key, this.#locus);
  }

  #known(key: Uint8Array): Map<string, CacheEntry<V>> | undefined {
    assertBytes(key, 'key');
    return this.#buckets[this.#indexOf(key)];
  }

  /** The farthest bucket with more than its minimum. @param newcomer - a bucket that is counted with one entry more */
  #evictable(newcomer?: number): number | undefined {
    const index = this.#buckets.findIndex((bucket, i) => {
      return (bucket?.size ?? 0) + (i === newcomer ? 1 : 0) > this.#minPerBucket;
    });
    if (index >= 0) return index;
    // The newcomer's bucket may not exist yet.
    return newcomer !== undefined && newcomer >= this.#buckets.length && this.#minPerBucket === 0
      ? newcomer
      : undefined;
  }
}

/** The entry created last; of several the one put last. */
function newestOf<V>(bucket: ReadonlyMap<string, CacheEntry<V>>): CacheEntry<V> {
  let newest: CacheEntry<V> | undefined;
  for (const entry of bucket.values()) {
    if (newest === undefined || entry.createdMs >= newest.createdMs) newest = entry;
  }
  return newest!;
}
