/** What a node does from time to time: checks of contacts, refreshes of buckets, storing again. One timer for all of it. */

import type { Millis } from '../../base/machine.ts';
import type { SeededRandom } from '../../base/seeded-random.ts';
import type { Target } from './asks.ts';
import type { NodeOptions, Times } from './node-types.ts';
import { type KeyText, POSITION_BYTES } from './position.ts';
import type { StoreItem } from './sweep.ts';
import type { Table } from './table.ts';

/** Between two rounds; a part of it is random, so that nodes that start together do not act together. */
const ROUND_MS = 60_000;
/** The same while this node seems to have no network. */
const OFFLINE_ROUND_MS = 10_000;
/** A contact that was not heard for as long is asked whether it is still there. */
const STALE_MS = 600_000;
/** Contacts that are checked in one round. */
const CHECKS_PER_ROUND = 4;
/** Buckets that are refreshed in one round. */
const REFRESHES_PER_ROUND = 2;
/** Buckets with fewer live contacts are filled from their spare ones. */
const ENOUGH_LIVE = 4;

/** What upkeep calls. */
export interface UpkeepHooks {
  readonly table: Table;
  readonly check: (times: Times, target: Target) => void;
  readonly refresh: (times: Times, index: number) => void;
  /** Looks up the own neighbours. */
  readonly refreshOwn: (times: Times) => void;
  readonly store: (times: Times, items: readonly StoreItem[]) => void;
  readonly expire: (now: Millis) => void;
  readonly isOffline: () => boolean;
}

interface Published {
  readonly item: StoreItem;
  readonly dueMs: Millis;
}

export class Upkeep {
  readonly #random: SeededRandom;
  readonly #options: NodeOptions;
  readonly #hooks: UpkeepHooks;
  /** By position. Bounded by `maxPublished`. */
  readonly #published = new Map<KeyText, Published>();

  constructor(random: SeededRandom, options: NodeOptions, hooks: UpkeepHooks) {
    this.#random = random;
    this.#options = options;
    this.#hooks = hooks;
  }

  /** The number of things that are stored again and again. */
  get published(): number {
    return this.#published.size;
  }

  /** When the next round is. */
  nextMs(now: Millis): Millis {
    const roundMs = this.#hooks.isOffline() ? OFFLINE_ROUND_MS : ROUND_MS;
    return now + roundMs * (0.75 + this.#random.next() / 2);
  }

  /** How many things there would be with these, stored again and again. */
  publishedWith(positions: readonly KeyText[]): number {
    const added = positions.filter((position) => !this.#published.has(position));
    return this.#published.size + new Set(added).size;
  }

  /** Stores things again from now on; the caller has looked at `publishedWith`. */
  publish(now: Millis, items: readonly StoreItem[]): void {
    for (const item of items) this.#published.set(item.position, { item, dueMs: this.#dueMs(now, item) });
  }

  /** Stores a thing no more. */
  forget(position: KeyText): boolean {
    return this.#published.delete(position);
  }

  tick(times: Times): void {
    const { now } = times;
    const { table, expire, isOffline } = this.#hooks;
    if (isOffline()) {
      // Nothing expires: only whether somebody answers again is looked at.
      this.#checkOldest(times, -Infinity);
      return;
    }
    expire(now);
    this.#checkOldest(times, now - STALE_MS);
    this.#fill(times);
    if (table.size === 0) return;
    this.#refresh(times);
    this.#storeAgain(times);
  }

  /** @param sinceMs - contacts heard later are left alone; -Infinity: none are */
  #checkOldest(times: Times, sinceMs: Millis): void {
    const stale: Target[] = [];
    const contacts = [...this.#hooks.table.live()].toSorted((a, b) => a.answeredMs - b.answeredMs);
    for (const contact of contacts) {
      if (stale.length >= CHECKS_PER_ROUND || (sinceMs !== -Infinity && contact.answeredMs > sinceMs)) break;
      stale.push(contact);
    }
    for (const contact of stale) this.#hooks.check(times, contact);
  }

  /** Asks spare contacts of buckets that have too few live ones. */
  #fill(times: Times): void {
    const { table } = this.#hooks;
    let checks = CHECKS_PER_ROUND;
    for (const { index, live, spare } of table.sizes()) {
      if (live >= ENOUGH_LIVE || spare === 0 || checks <= 0) continue;
      for (const contact of table.sparesOf(index).slice(0, Math.min(ENOUGH_LIVE - live, checks))) {
        checks--;
        this.#hooks.check(times, contact);
      }
    }
  }

  #refresh(times: Times): void {
    const { table } = this.#hooks;
    const { refreshMs } = this.#options;
    const before = times.now - refreshMs;
    if (table.lookedMs(8 * POSITION_BYTES) <= before) {
      this.#hooks.refreshOwn(times);
      return;
    }
    let refreshes = REFRESHES_PER_ROUND;
    for (let index = 0; index < table.deepest && refreshes > 0; index++) {
      // Contacts are checked apart; a bucket is refreshed to find new ones.
      if (table.lookedMs(index) > before - 5 * refreshMs) continue;
      refreshes--;
      this.#hooks.refresh(times, index);
    }
  }

  #storeAgain(times: Times): void {
    const due: StoreItem[] = [];
    for (const { item, dueMs } of this.#published.values()) if (dueMs <= times.now) due.push(item);
    if (due.length === 0) return;
    // What is due soon goes along: one visit of a region for all of its keys.
    for (const [position, { item, dueMs }] of this.#published) {
      if (dueMs > times.now + this.#options.republishMs / 4) continue;
      if (dueMs > times.now) due.push(item);
      this.#published.set(position, { item, dueMs: this.#dueMs(times.now, item) });
    }
    this.#hooks.store(times, due);
  }

  #dueMs(now: Millis, { ttlMs }: StoreItem): Millis {
    return now + Math.min(this.#options.republishMs, ttlMs / 2);
  }
}
