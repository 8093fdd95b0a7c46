/**
 * Signed records of peers, bounded: what is kept of what others say. It has no clock and makes no calls, so that whoever
 * uses it decides when to look and whom to ask.
 */

import { wholeNumber } from '../core/limits.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type KeyRegistry } from '../formats/key-algorithm.ts';
import { type Candidate } from './candidate.ts';
import { type PeerRecord, type RecordFault, verifyPeerRecord } from './peer-record.ts';

/** What a peer book holds at most. */
export interface PeerBookOptions {
  /** Records in all. When it is full, the one of hearsay that expires first makes room. @default 1024 */
  readonly maxPeers?: number | undefined;
  /** Records that one peer has told of others, so that nobody fills the book alone. @default 256 */
  readonly maxPeersPerTeller?: number | undefined;
  /** Key algorithms that signatures may be of. @default Ed25519 and ECDSA P-256 */
  readonly registry?: KeyRegistry | undefined;
}

/** Why a record was not taken. */
export type PeerBookFault = RecordFault | 'expired' | 'from_the_future' | 'stale' | 'full';

/** Clocks of peers may be so far apart: NTP keeps them within seconds, phones and boards without it within minutes. */
const MAX_SKEW_MS = 600_000;

interface Entry {
  readonly record: PeerRecord;
  /** Who handed it over; the peer itself where it came first-hand. */
  readonly teller: PeerId | undefined;
  readonly seenMs: number;
}

/** Records by PeerID. All times are milliseconds since the Unix epoch, the realm's `wallMs`. */
export class PeerBook {
  readonly #maxPeers: number;
  readonly #maxPeersPerTeller: number;
  readonly #registry: KeyRegistry | undefined;
  /** Bounded by `maxPeers`. */
  readonly #entries = new Map<PeerId, Entry>();
  /** Records of hearsay by teller. Bounded by the entries. */
  readonly #told = new Map<PeerId, number>();
  /** No record expires before this. */
  #nextEndMs = Infinity;

  /** @throws {TypeError | RangeError} for options out of bounds. */
  constructor(options: PeerBookOptions = {}) {
    this.#maxPeers = wholeNumber(options.maxPeers, 'maxPeers', 1024, 1, 2 ** 20);
    this.#maxPeersPerTeller = wholeNumber(options.maxPeersPerTeller, 'maxPeersPerTeller', 256, 1, 2 ** 20);
    this.#registry = options.registry;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Takes a record, if it is right and newer than what is known.
   *
   * @param teller - who handed it over, as far as that is proven.
   * @returns the record, or why it was not taken.
   */
  add(wallMs: number, bytes: Uint8Array, teller?: PeerId): PeerRecord | PeerBookFault {
    const record = this.check(bytes);
    return typeof record === 'string' ? record : this.addVerified(wallMs, record, teller);
  }

  /** The record in `bytes`, its signature checked by this book's algorithms; nothing is kept. Never throws. */
  check(bytes: Uint8Array): PeerRecord | RecordFault {
    return verifyPeerRecord(bytes, this.#registry);
  }

  /** As {@link PeerBook.add}, for a record whose signature has been checked. */
  addVerified(wallMs: number, record: PeerRecord, teller?: PeerId): PeerRecord | PeerBookFault {
    this.expire(wallMs);
    if (record.expiresMs <= wallMs) return 'expired';
    if (record.issuedMs > wallMs + MAX_SKEW_MS) return 'from_the_future';
    const before = this.#entries.get(record.id);
    if (before !== undefined && before.record.issuedMs >= record.issuedMs) return 'stale';
    const firstHand = teller === record.id;
    if (before === undefined) {
      if (!firstHand && (this.#told.get(teller ?? record.id) ?? 0) >= this.#maxPeersPerTeller) return 'full';
      if (this.#entries.size >= this.#maxPeers && !this.#makeRoom()) return 'full';
    }
    this.#put({ record, teller, seenMs: wallMs });
    return record;
  }

  /** What is known of a peer and still holds good. */
  get(wallMs: number, id: PeerId): PeerRecord | undefined {
    this.expire(wallMs);
    return this.#entries.get(id)?.record;
  }

  /** All records that hold good, the latest last. */
  records(wallMs: number): PeerRecord[] {
    this.expire(wallMs);
    return [...this.#entries.values()].map(({ record }) => record);
  }

  /** Where to try a peer, best first. */
  candidates(wallMs: number, id: PeerId): Candidate[] {
    this.expire(wallMs);
    const entry = this.#entries.get(id);
    if (entry === undefined) return [];
    const { record, seenMs } = entry;
    return record.addrs.map((addr) => ({ id, addr, source: 'exchange', seenMs, expiresMs: record.expiresMs }));
  }

  /** Forgets a peer; a newer record of it, or the same one, brings it back. */
  delete(id: PeerId): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    this.#untell(entry);
    return true;
  }

  /** Forgets what does not hold good any more. */
  expire(wallMs: number): void {
    if (wallMs < this.#nextEndMs) return;
    this.#nextEndMs = Infinity;
    for (const [id, { record }] of this.#entries) {
      if (record.expiresMs <= wallMs) this.delete(id);
      else this.#nextEndMs = Math.min(this.#nextEndMs, record.expiresMs);
    }
  }

  #put(entry: Entry): void {
    const { record, teller } = entry;
    this.delete(record.id);
    this.#entries.set(record.id, entry);
    this.#nextEndMs = Math.min(this.#nextEndMs, record.expiresMs);
    if (teller !== record.id) this.#told.set(teller ?? record.id, (this.#told.get(teller ?? record.id) ?? 0) + 1);
  }

  #untell({ record, teller }: Entry): void {
    if (teller === record.id) return;
    const by = teller ?? record.id;
    const left = (this.#told.get(by) ?? 1) - 1;
    if (left === 0) this.#told.delete(by);
    else this.#told.set(by, left);
  }

  /** What peers have said themselves is not given up for hearsay. */
  #makeRoom(): boolean {
    let first: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.teller === entry.record.id) continue;
      if (first === undefined || entry.record.expiresMs < first.record.expiresMs) first = entry;
    }
    return first !== undefined && this.delete(first.record.id);
  }
}
