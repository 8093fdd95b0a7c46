/** The routing table: contacts in buckets by the leading bits that they share with the own position. */

import type { Millis } from '../../base/machine.ts';
import type { Form } from './messages.ts';
import { closerTo, type KeyText, POSITION_BYTES, sharedBits } from './position.ts';

/** A node of the table. Thousands of nodes in one process have hundreds of these each, so it is small. */
export interface Contact {
  /** The raw PeerID. */
  readonly id: KeyText;
  readonly position: KeyText;
  /** Packed. */
  addr: string;
  form: Form;
  /** The network of its IP, with which it is counted; empty where it is not counted. */
  network: string;
  /** When it last answered; -Infinity: never, somebody only named it. */
  answeredMs: Millis;
  /** The smoothed round trip. */
  rttMs: number | undefined;
  /** Requests without an answer since the last answer. */
  failures: number;
}

interface Bucket {
  /** Nodes that have answered, the one that answered last at the end. Bounded by `k`. */
  readonly live: Contact[];
  /** Nodes for when a live one fails: named by others, or surplus. The latest last. Bounded by `maxSpares`. */
  readonly spare: Contact[];
  /** When a lookup last went through this bucket. */
  lookedMs: Millis;
}

/** The limits of a table. */
export interface TableOptions {
  readonly own: KeyText;
  /** Live contacts in a bucket. */
  readonly k: number;
  /** Contacts in one bucket with IPs of one network. */
  readonly maxPerNetworkInBucket: number;
  /** Contacts in the table with IPs of one network. */
  readonly maxPerNetwork: number;
}

/** Why a node that answered is not in the table. */
export type TableRefusal = 'self' | 'bucket_full' | 'network_full';

/** Spare contacts in a bucket. */
const MAX_SPARES = 8;
/** A live contact without as many answers in a row gives way to a spare one. */
const MAX_FAILURES = 2;

/** Contacts by position. Bounded by 256 buckets of `k` live and {@link MAX_SPARES} spare contacts; about log2 of the nodes have any. */
export class Table {
  readonly #options: TableOptions;
  /** By shared bits; most are absent. */
  readonly #buckets: (Bucket | undefined)[] = [];
  /** Contacts by raw PeerID, live and spare. Bounded by the buckets. */
  readonly #contacts = new Map<KeyText, Contact>();
  /** Live contacts for each network of IPs. Bounded by the live contacts. */
  readonly #networks = new Map<string, number>();
  #size = 0;
  #lookedOwnMs: Millis = -Infinity;

  constructor(options: TableOptions) {
    this.#options = options;
  }

  /** The number of live contacts. */
  get size(): number {
    return this.#size;
  }

  /** The number of spare contacts. */
  get spares(): number {
    return this.#contacts.size - this.#size;
  }

  get(id: KeyText): Contact | undefined {
    return this.#contacts.get(id);
  }

  /** The number of leading bits shared with the own position: the index of the bucket. */
  indexOf(position: KeyText): number {
    return sharedBits(this.#options.own, position);
  }

  /** All live contacts, by bucket. */
  *live(): Generator<Contact, void, undefined> {
    for (const bucket of this.#buckets) if (bucket !== undefined) yield* bucket.live;
  }

  /** The spare contacts of a bucket, the latest first. */
  sparesOf(index: number): readonly Contact[] {
    return this.#buckets[index]?.spare.toReversed() ?? [];
  }

  /** The number of live contacts of each bucket that has contacts. */
  sizes(): { readonly index: number; readonly live: number; readonly spare: number }[] {
    return this.#buckets.flatMap((bucket, index) =>
      bucket === undefined || bucket.live.length + bucket.spare.length === 0
        ? []
        : [{ index, live: bucket.live.length, spare: bucket.spare.length }],
    );
  }

  liveIn(index: number): number {
    return this.#buckets[index]?.live.length ?? 0;
  }

  /** The number of live contacts in buckets that share more bits than that of `index`: they are closer than all of that one. */
  liveBeyond(index: number): number {
    let count = 0;
    for (let i = index + 1; i < this.#buckets.length; i++) count += this.#buckets[i]?.live.length ?? 0;
    return count;
  }

  /** The deepest bucket with a live contact; -1 without one. */
  get deepest(): number {
    return this.#buckets.findLastIndex((bucket) => bucket !== undefined && bucket.live.length > 0);
  }

  /**
   * A node has answered: it becomes a live contact if there is room.
   *
   * @param contact - the known one of this node if there is one
   */
  answered(now: Millis, contact: Contact): TableRefusal | undefined {
    const index = this.indexOf(contact.position);
    if (index === 8 * POSITION_BYTES) return 'self';
    contact.answeredMs = now;
    contact.failures = 0;
    const bucket = this.#bucket(index);
    const at = bucket.live.indexOf(contact);
    if (at >= 0) {
      bucket.live.splice(at, 1);
      bucket.live.push(contact);
      return undefined;
    }
    const refusal = this.#refuse(bucket, contact);
    if (refusal !== undefined) {
      if (refusal === 'bucket_full') this.#keepSpare(bucket, contact);
      return refusal;
    }
    if (bucket.live.length >= this.#options.k) {
      const failing = bucket.live.findIndex(({ failures }) => failures >= MAX_FAILURES);
      this.#removeLive(bucket, failing);
    }
    removeFrom(bucket.spare, contact);
    bucket.live.push(contact);
    this.#contacts.set(contact.id, contact);
    this.#count(contact.network, 1);
    this.#size++;
    return undefined;
  }

  /** Somebody names a node: it becomes a spare contact. @returns whether it is new. */
  named(contact: Contact): boolean {
    const index = this.indexOf(contact.position);
    if (index === 8 * POSITION_BYTES || this.#contacts.has(contact.id)) return false;
    this.#keepSpare(this.#bucket(index), contact);
    return true;
  }

  /**
   * A node did not answer, with all tries.
   *
   * @returns whether it has left the live contacts.
   */
  failed(contact: Contact): boolean {
    const bucket = this.#buckets[this.indexOf(contact.position)];
    if (bucket === undefined || this.#contacts.get(contact.id) !== contact) return false;
    contact.failures++;
    const at = bucket.live.indexOf(contact);
    if (at < 0) {
      removeFrom(bucket.spare, contact);
      this.#contacts.delete(contact.id);
      return false;
    }
    if (contact.failures < MAX_FAILURES) return false;
    this.#removeLive(bucket, at);
    return true;
  }

  /** Removes a contact: it has left, or must not be in the table. */
  remove(id: KeyText): void {
    const contact = this.#contacts.get(id);
    const bucket = contact === undefined ? undefined : this.#buckets[this.indexOf(contact.position)];
    if (contact === undefined || bucket === undefined) return;
    const at = bucket.live.indexOf(contact);
    if (at >= 0) this.#removeLive(bucket, at);
    else {
      removeFrom(bucket.spare, contact);
      this.#contacts.delete(id);
    }
  }

  /** Forgives what failed while the own network was down. */
  forgive(): void {
    for (const contact of this.#contacts.values()) contact.failures = 0;
  }

  /**
   * The contacts closest to a position, from the closest on.
   *
   * @param pick - which contacts count; `healthy`: live ones whose last request was answered.
   */
  closest(target: KeyText, count: number, pick: 'healthy' | 'live' | 'all'): Contact[] {
    const first = this.indexOf(target);
    const nearest: Contact[] = []; // Bounded by the table.
    const take = (bucket: Bucket | undefined): void => {
      if (bucket === undefined) return;
      for (const contact of bucket.live) if (pick !== 'healthy' || contact.failures === 0) nearest.push(contact);
      if (pick === 'all') nearest.push(...bucket.spare);
    };
    const sortFrom = (start: number): void => {
      // In place: groups are small, and this runs for every request.
      for (let i = start + 1; i < nearest.length; i++) {
        const contact = nearest[i]!;
        let at = i;
        for (; at > start && closerTo(target, contact.position, nearest[at - 1]!.position) < 0; at--) {
          nearest[at] = nearest[at - 1]!;
        }
        nearest[at] = contact;
      }
    };
    take(this.#buckets[first]);
    sortFrom(0);
    // All closer buckets share the same bits with the target: one group.
    if (nearest.length < count) {
      const start = nearest.length;
      for (let i = first + 1; i < this.#buckets.length; i++) take(this.#buckets[i]);
      sortFrom(start);
    }
    for (let i = Math.min(first, this.#buckets.length) - 1; i >= 0 && nearest.length < count; i--) {
      const start = nearest.length;
      take(this.#buckets[i]);
      sortFrom(start);
    }
    if (nearest.length > count) nearest.length = count;
    return nearest;
  }

  /** When a bucket, or with 256 the own neighbourhood, was last looked up; -Infinity: never. */
  lookedMs(index: number): Millis {
    if (index === 8 * POSITION_BYTES) return this.#lookedOwnMs;
    return this.#buckets[index]?.lookedMs ?? -Infinity;
  }

  /** A lookup goes through a bucket. */
  looked(now: Millis, index: number): void {
    if (index === 8 * POSITION_BYTES) this.#lookedOwnMs = now;
    else this.#bucket(index).lookedMs = now;
  }

  #bucket(index: number): Bucket {
    return (this.#buckets[index] ??= { live: [], spare: [], lookedMs: -Infinity });
  }

  #refuse(bucket: Bucket, { network }: Contact): TableRefusal | undefined {
    const { k, maxPerNetwork, maxPerNetworkInBucket } = this.#options;
    if (network !== '') {
      const here = bucket.live.filter((each) => each.network === network).length;
      if (here >= maxPerNetworkInBucket || (this.#networks.get(network) ?? 0) >= maxPerNetwork) return 'network_full';
    }
    const isFull = bucket.live.length >= k && bucket.live.every(({ failures }) => failures < MAX_FAILURES);
    return isFull ? 'bucket_full' : undefined;
  }

  #keepSpare(bucket: Bucket, contact: Contact): void {
    removeFrom(bucket.spare, contact);
    bucket.spare.push(contact);
    this.#contacts.set(contact.id, contact);
    if (bucket.spare.length <= MAX_SPARES) return;
    // Those that nobody has heard answer go first, the oldest of them.
    const worst = bucket.spare.findIndex(({ answeredMs }) => answeredMs === -Infinity);
    const [dropped] = bucket.spare.splice(Math.max(worst, 0), 1);
    if (dropped !== undefined) this.#contacts.delete(dropped.id);
  }

  #removeLive(bucket: Bucket, at: number): void {
    const [contact] = bucket.live.splice(at, 1);
    if (contact === undefined) return;
    this.#contacts.delete(contact.id);
    this.#count(contact.network, -1);
    this.#size--;
  }

  #count(network: string, by: number): void {
    if (network === '') return;
    const count = (this.#networks.get(network) ?? 0) + by;
    if (count === 0) this.#networks.delete(network);
    else this.#networks.set(network, count);
  }
}

function removeFrom(contacts: Contact[], contact: Contact): void {
  const at = contacts.indexOf(contact);
  if (at >= 0) contacts.splice(at, 1);
}
