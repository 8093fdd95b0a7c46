/** What a node stores for others: values, and who provides a key. */

import { type Bytes, copyBytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { BucketCache } from './bucket-cache.ts';
import { keyBytes, type KeyText } from './position.ts';

/** The limits of what is stored for others. */
export interface StoreLimits {
  readonly maxValues: number;
  readonly maxValueBytes: number;
  /** All values together. */
  readonly maxStoredBytes: number;
  /** Keys with providers. */
  readonly maxProvidedKeys: number;
  readonly maxProvidersPerKey: number;
  readonly maxTtlMs: number;
}

/** The part of a store that one source may fill. A source is the network of an IP, or a PeerID where there is no IP. */
const SHARE = 4;

/** Why a value is not stored. */
export type StoreRefusal = 'too_large' | 'no_ttl' | 'other_source' | 'source_full' | 'full';

/** A stored value. */
interface Stored {
  readonly value: Bytes;
  /** The raw PeerID that put it: only it may replace the value before it expires. */
  readonly by: KeyText;
  readonly source: string;
}

/** The entries, or the bytes, of each source. Bounded by the entries: empty counts are removed. */
class Shares {
  readonly #counts = new Map<string, number>();

  of(source: string): number {
    return this.#counts.get(source) ?? 0;
  }

  add(source: string, by: number): void {
    const count = this.of(source) + by;
    if (count <= 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
  }
}

/** Values by position, those close to the own one preferred. */
export class ValueStore {
  readonly #limits: StoreLimits;
  readonly #cache: BucketCache<Stored>;
  readonly #shares = new Shares();
  readonly #byteShares = new Shares();
  #bytes = 0;

  constructor(own: KeyText, limits: StoreLimits) {
    this.#limits = limits;
    this.#cache = new BucketCache(keyBytes(own), limits.maxValues);
  }

  get size(): number {
    return this.#cache.count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(now: Millis, position: KeyText): { readonly value: Bytes; readonly ttlMs: number } | undefined {
    const entry = this.#cache.get(keyBytes(position), now);
    return entry === undefined ? undefined : { value: entry.value.value, ttlMs: entry.expiresMs - now };
  }

  /** Stores a value of a peer; keeps a copy. @param source - what the peer counts as */
  put(
    now: Millis,
    position: KeyText,
    { value, ttlMs, by, source }: { value: Uint8Array; ttlMs: number; by: KeyText; source: string },
  ): StoreRefusal | undefined {
    const { maxValueBytes, maxStoredBytes, maxValues, maxTtlMs } = this.#limits;
    if (value.length > maxValueBytes) return 'too_large';
    if (!(ttlMs > 0)) return 'no_ttl';
    const key = keyBytes(position);
    const before = this.#cache.get(key, now)?.value;
    if (before !== undefined && before.by !== by) return 'other_source';
    if (before === undefined) this.#forget(key);
    const isNew = before === undefined;
    if (isNew && this.#shares.of(source) >= Math.ceil(maxValues / SHARE)) return 'source_full';
    const grows = value.length - (before?.value.length ?? 0);
    if (this.#byteShares.of(source) + grows > Math.ceil(maxStoredBytes / SHARE)) return 'source_full';
    if (this.#bytes + grows > maxStoredBytes) return 'full';
    const stored: Stored = { value: copyBytes(value), by, source };
    const { added, evicted } = this.#cache.put(key, stored, now, now + Math.min(ttlMs, maxTtlMs));
    if (!added) return 'full';
    if (before !== undefined) this.#count(before, -1);
    this.#count(stored, 1);
    if (evicted !== undefined) this.#count(evicted.value, -1);
    return undefined;
  }

  /** Removes expired values. */
  expire(now: Millis): void {
    for (const { value } of this.#cache.expire(now)) this.#count(value, -1);
  }

  /** An expired value must not stay counted when another one takes its place. */
  #forget(key: Uint8Array): void {
    const expired = this.#cache.delete(key);
    if (expired !== undefined) this.#count(expired.value, -1);
  }

  #count({ value, source }: Stored, by: 1 | -1): void {
    this.#bytes += by * value.length;
    this.#shares.add(source, by);
    this.#byteShares.add(source, by * value.length);
  }
}

/** Providers of a key: when each expires. Bounded by `maxProvidersPerKey`. */
type Providers = Map<KeyText, { readonly expiresMs: Millis; readonly source: string }>;

/** Who provides a key, by position. */
export class ProviderStore {
  readonly #limits: StoreLimits;
  readonly #cache: BucketCache<Providers>;
  readonly #shares = new Shares();
  constructor(own: KeyText, limits: StoreLimits) {
    this.#limits = limits;
    this.#cache = new BucketCache(keyBytes(own), limits.maxProvidedKeys);
  }

  /** The number of keys with providers. */
  get size(): number {
    return this.#cache.count;
  }

  /** The raw PeerIDs of a key's providers, the latest first. */
  get(now: Millis, position: KeyText): KeyText[] {
    const providers = this.#cache.get(keyBytes(position), now)?.value;
    const live = [...(providers ?? [])].filter(([, { expiresMs }]) => expiresMs > now);
    return live.map(([id]) => id).toReversed();
  }

  /** Notes that a peer provides a key. @returns why not, if not */
  add(now: Millis, position: KeyText, id: KeyText, source: string, ttlMs: number): StoreRefusal | undefined {
    const { maxProvidedKeys, maxProvidersPerKey, maxTtlMs } = this.#limits;
    if (!(ttlMs > 0)) return 'no_ttl';
    const key = keyBytes(position);
    const known = this.#cache.get(key, now)?.value;
    if (known === undefined) this.#dropAll(this.#cache.delete(key)?.value ?? new Map());
    const before = known?.get(id);
    if (before === undefined && this.#shares.of(source) >= Math.ceil(maxProvidedKeys / SHARE)) return 'source_full';
    const providers: Providers = known ?? new Map();
    if (before === undefined && providers.size >= maxProvidersPerKey) {
      const expired = Array.from(providers).find(([, { expiresMs }]) => expiresMs <= now)?.[0];
      const surplus = expired ?? surplusOf(providers, source);
      if (surplus === undefined) return 'full';
      this.#drop(providers, surplus);
    }
    if (before !== undefined) this.#drop(providers, id);
    const expiresMs = now + Math.min(ttlMs, maxTtlMs);
    providers.set(id, { expiresMs, source });
    this.#shares.add(source, 1);
    const latestMs = Math.max(...Array.from(providers.values(), (each) => each.expiresMs));
    const { added, evicted } = this.#cache.put(key, providers, now, latestMs);
    if (evicted !== undefined) this.#dropAll(evicted.value);
    if (added) return undefined;
    this.#dropAll(providers);
    return 'full';
  }

  /** Removes expired keys. */
  expire(now: Millis): void {
    for (const { value } of this.#cache.expire(now)) this.#dropAll(value);
  }

  #drop(providers: Providers, id: KeyText): void {
    const provider = providers.get(id);
    if (provider === undefined) return;
    providers.delete(id);
    this.#shares.add(provider.source, -1);
  }

  #dropAll(providers: Providers): void {
    for (const id of providers.keys()) this.#drop(providers, id);
  }
}

/** The oldest provider of the source that has most, where that is more than this source would have; else `undefined`. */
function surplusOf(providers: Providers, source: string): KeyText | undefined {
  const counts = new Shares();
  for (const each of providers.values()) counts.add(each.source, 1);
  let most = counts.of(source) + 1;
  let surplus: KeyText | undefined;
  for (const [id, each] of providers) {
    const count = counts.of(each.source);
    if (count <= most) continue;
    most = count;
    surplus = id;
  }
  return surplus;
}
