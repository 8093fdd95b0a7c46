/**
 * A bounded store of signed peer records and of the results of trying their addresses. It has no clock and makes no
 * calls: its owner decides when to look up and which peer to ask.
 */

import { equalBytes, type Bytes } from '../base/bytes.ts';
import { wholeNumber } from '../base/checks.ts';
import type { PeerId } from '../core/peer-id.ts';
import { SourceShares } from '../base/source-shares.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import type { KeyRegistry } from '../identity/key-algorithm.ts';
import type { Candidate } from '../core/candidate.ts';
import {
  leadsTo,
  mergeCopies,
  type PeerRecord,
  readPeerRecord,
  type RecordFault,
  type UnverifiedRecord,
  verifyPeerRecord,
  verifyRead,
  withoutAddrs,
} from './peer-record.ts';

/** The limits of a peer book. */
export interface PeerBookOptions {
  /**
   * Records in total. A full book evicts a record of the network (/24, /64) that supplied the most, records from third
   * parties before those from the peers themselves. @default 1024
   */
  readonly maxPeers?: number | undefined;
  /** Records of others that one peer may supply, so that no peer fills the book alone. @default 256 */
  readonly maxPeersPerTeller?: number | undefined;
  /**
   * The maximum time a record counts as valid after it was received, whatever lifetime it states. @default 900_000,
   * fifteen minutes
   */
  readonly maxBelievedMs?: number | undefined;
  /** Key algorithms accepted for signatures. @default Ed25519 and ECDSA P-256 */
  readonly registry?: KeyRegistry | undefined;
}

/** Why a record was rejected. `stale`: this record or a newer one is known, or was known until it was removed. */
export type PeerBookFault = RecordFault | 'expired' | 'from_the_future' | 'stale' | 'full';

/**
 * The tolerated clock difference between peers: NTP keeps clocks within seconds, phones and boards without it within
 * minutes.
 */
export const MAX_SKEW_MS = 600_000;

/** The pause before an address that worked once is retried after a failure; it doubles with each further failure. */
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Addresses that led to peers whose records have not come yet; the oldest is forgotten. */
const MAX_EARLY = 1024;

/** The results of trying an address. */
interface AddrState {
  /** It led to the peer at least once. */
  reached: boolean;
  /** Failed and pending tries since then. */
  failures: number;
  /** No try before this time. */
  nextMs: number;
}

interface Entry {
  readonly record: PeerRecord;
  /** The signed part: distinguishes copies of one record from other records. */
  readonly signed: Bytes;
  /** The peer that sent the record; the peer itself for a first-hand record. */
  readonly teller: PeerId | undefined;
  readonly seenMs: number;
  readonly endMs: number;
  /** Bounded by the addresses of a record. */
  readonly states: Map<string, AddrState>;
}

/** Records by PeerID. All times are milliseconds since the Unix epoch, the realm's `wallMs`. */
export class PeerBook {
  readonly #limits: { readonly maxPeers: number; readonly maxPeersPerTeller: number; readonly maxBelievedMs: number };
  readonly #registry: KeyRegistry;
  /** Bounded by `maxPeers`. */
  readonly #entries = new Map<PeerId, Entry>();
  /** PeerIDs of the entries by key, so that a known key is not hashed again. Bounded by the entries. */
  readonly #ids = new Map<string, PeerId>();
  /** Second-hand records by teller. Bounded by the entries. */
  readonly #told = new Map<PeerId, number>();
  /** The entries by origin: second-hand, and first-hand. Bounded by the entries. */
  readonly #hearsay = new SourceShares<PeerId>();
  readonly #firstHand = new SourceShares<PeerId>();
  /**
   * When removed records were issued: older records of the same peer are rejected. Bounded by `maxPeers`; the oldest is
   * removed first.
   */
  readonly #forgotten = new Map<PeerId, number>();
  /** PeerIDs with addresses that led to them before a record named these. Bounded by {@link MAX_EARLY}. */
  readonly #early = new Set<string>();
  /** No record expires before this. */
  #nextEndMs = Infinity;
  #verifications = 0;

  /** @throws {TypeError | RangeError} for options out of bounds. */
  constructor(options: PeerBookOptions = {}) {
    this.#limits = {
      maxPeers: wholeNumber(options.maxPeers, 'maxPeers', 1024, 1, 2 ** 20),
      maxPeersPerTeller: wholeNumber(options.maxPeersPerTeller, 'maxPeersPerTeller', 256, 1, 2 ** 20),
      maxBelievedMs: wholeNumber(options.maxBelievedMs, 'maxBelievedMs', 900_000, 1000, 86_400_000),
    };
    this.#registry = options.registry ?? defaultKeyRegistry;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Signatures checked so far. */
  get verifications(): number {
    return this.#verifications;
  }

  /**
   * Adds a record if it is valid and newer than the known one. The signature is checked last, and never twice for one
   * record.
   *
   * @param teller - the peer that sent it, if authenticated.
   * @param host - the IP it came from, so that one host cannot fill the book. @default each teller counts as its own
   * host
   * @returns the record, or why it was rejected.
   */
  add(wallMs: number, bytes: Uint8Array, teller?: PeerId, host?: string): PeerRecord | PeerBookFault {
    const read = readPeerRecord(bytes);
    if (read === undefined) return 'malformed';
    this.expire(wallMs);
    const id = this.#ids.get(keyOf(read.spki));
    const before = id === undefined ? undefined : this.#entries.get(id);
    const late = timeFault(wallMs, read.issuedMs, read.issuedMs + read.lifetimeMs);
    if (late !== undefined) return late;
    if (before !== undefined && before.record.issuedMs >= read.issuedMs) {
      return this.#again(before, read, wallMs, teller, host);
    }
    this.#verifications++;
    const record = verifyRead(read, this.#registry);
    return typeof record === 'string' ? record : this.#take(wallMs, record, read.signed, teller, host);
  }

  /** Whether this record is known, whatever parts its copies omit. */
  knows({ spki, signed }: UnverifiedRecord): boolean {
    const id = this.#ids.get(keyOf(spki));
    const entry = id === undefined ? undefined : this.#entries.get(id);
    return entry !== undefined && equalBytes(entry.signed, signed);
  }

  /** Decodes a record and checks its signature with this book's algorithms; stores nothing. Never throws. */
  check(bytes: Uint8Array): PeerRecord | RecordFault {
    this.#verifications++;
    return verifyPeerRecord(bytes, this.#registry);
  }

  /** As {@link PeerBook.add}, for a record whose signature was checked already. */
  addVerified(wallMs: number, record: PeerRecord, teller?: PeerId, host?: string): PeerRecord | PeerBookFault {
    this.expire(wallMs);
    const late = timeFault(wallMs, record.issuedMs, record.expiresMs);
    if (late !== undefined) return late;
    const before = this.#entries.get(record.id);
    const read = readPeerRecord(record.bytes);
    if (read === undefined) return 'malformed';
    if (before !== undefined && before.record.issuedMs >= record.issuedMs) {
      return this.#again(before, read, wallMs, teller, host);
    }
    return this.#take(wallMs, record, read.signed, teller, host);
  }

  /** The valid record of a peer; `undefined` also for a peer that has left. */
  get(wallMs: number, id: PeerId): PeerRecord | undefined {
    this.expire(wallMs);
    const record = this.#entries.get(id)?.record;
    return record?.withdrawn === true ? undefined : record;
  }

  /** All valid records, the latest last, without those of peers that have left. */
  records(wallMs: number): PeerRecord[] {
    this.expire(wallMs);
    return [...this.#entries.values()].flatMap(({ record }) => (record.withdrawn ? [] : [record]));
  }

  /**
   * What may be passed on: records with only those addresses that led to their peers, and withdrawals. Unverified
   * addresses are not passed on.
   */
  proven(wallMs: number): { readonly id: PeerId; readonly bytes: Bytes }[] {
    this.expire(wallMs);
    const proven: { readonly id: PeerId; readonly bytes: Bytes }[] = [];
    for (const [id, entry] of this.#entries) {
      const bytes = provenOf(entry);
      if (bytes !== undefined) proven.push({ id, bytes });
    }
    return proven;
  }

  /** What may be passed on of one peer, as {@link PeerBook.proven}; `undefined` when none of its addresses is proven. */
  handOn(wallMs: number, id: PeerId): Bytes | undefined {
    this.expire(wallMs);
    const entry = this.#entries.get(id);
    return entry === undefined ? undefined : provenOf(entry);
  }

  /**
   * The addresses to try for a peer now, best first: those that worked, then untried ones. After a failed try an
   * address is returned again after a pause if it worked before, else only with a newer record.
   */
  candidates(wallMs: number, id: PeerId): Candidate[] {
    this.expire(wallMs);
    const entry = this.#entries.get(id);
    if (entry === undefined) return [];
    const { record, seenMs, endMs, states } = entry;
    const isReached = (addr: string): boolean => states.get(addr)?.reached === true;
    return record.addrs
      .filter((addr) => (states.get(addr)?.nextMs ?? 0) <= wallMs)
      .toSorted((a, b) => Number(isReached(b)) - Number(isReached(a)))
      .map((addr) => ({
        id,
        addr,
        source: 'exchange',
        seenMs,
        expiresMs: endMs,
        trust: isReached(addr) ? 'reached' : 'claimed',
      }));
  }

  /** Whether the record came from its peer itself: the node has a connection with it. */
  isFirstHand(id: PeerId): boolean {
    return this.#entries.get(id)?.teller === id;
  }

  /** Whether an address has led to its peer. */
  isReached(id: PeerId, addr: string): boolean {
    return this.#entries.get(id)?.states.get(addr)?.reached === true;
  }

  /** Notes that a try begins: it counts as a failure until the address is reached. */
  noteTry(wallMs: number, id: PeerId, addr: string): void {
    const state = this.#stateOf(id, addr);
    if (state === undefined) return;
    state.failures++;
    const pauseMs = Math.min(FIRST_RETRY_MS * 2 ** (state.failures - 1), MAX_RETRY_MS);
    state.nextMs = state.reached ? wallMs + pauseMs : Infinity;
  }

  /** Notes that an address has led to its peer. It counts for a record that comes later, too. */
  noteReached(id: PeerId, addr: string): void {
    const state = this.#stateOf(id, addr);
    if (state === undefined) {
      if (!leadsTo(addr, id)) return;
      this.#early.add(`${id} ${addr}`);
      if (this.#early.size > MAX_EARLY) this.#early.delete(this.#early.keys().next().value!);
      return;
    }
    state.reached = true;
    state.failures = 0;
    state.nextMs = 0;
  }

  /** Removes a peer. Other peers can restore it only with a newer record; the peer itself also with the same one. */
  delete(id: PeerId): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#drop(id, entry);
    this.#forgotten.delete(id);
    this.#forgotten.set(id, entry.record.issuedMs);
    if (this.#forgotten.size > this.#limits.maxPeers) {
      for (const oldest of this.#forgotten.keys()) {
        this.#forgotten.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** Removes expired records. */
  expire(wallMs: number): void {
    if (wallMs < this.#nextEndMs) return;
    this.#nextEndMs = Infinity;
    for (const [id, entry] of this.#entries) {
      if (entry.endMs <= wallMs) this.#drop(id, entry);
      else this.#nextEndMs = Math.min(this.#nextEndMs, entry.endMs);
    }
  }

  #take(
    wallMs: number,
    record: PeerRecord,
    signed: Bytes,
    teller: PeerId | undefined,
    host: string = teller ?? record.id,
  ): PeerRecord | PeerBookFault {
    const { id } = record;
    const firstHand = teller === id;
    if (!firstHand && (this.#forgotten.get(id) ?? -1) >= record.issuedMs) return 'stale';
    const before = this.#entries.get(id);
    if (before === undefined) {
      if (!firstHand && (this.#told.get(teller ?? id) ?? 0) >= this.#limits.maxPeersPerTeller) return 'full';
      if (this.#entries.size >= this.#limits.maxPeers && !this.#makeRoom(host, firstHand)) return 'full';
    } else this.#drop(id, before);
    // The state of an address does not depend on the record that contains it; a newer record allows a new try.
    const states = new Map<string, AddrState>();
    for (const addr of record.addrs) {
      const isReached = before?.states.get(addr)?.reached === true;
      if (this.#early.delete(`${id} ${addr}`) || isReached) states.set(addr, { reached: true, failures: 0, nextMs: 0 });
    }
    const endMs = Math.min(record.expiresMs, wallMs + this.#limits.maxBelievedMs);
    this.#entries.set(id, { record, signed, teller, seenMs: wallMs, endMs, states });
    this.#ids.set(keyOf(record.publicKey.spki), id);
    this.#forgotten.delete(id);
    this.#nextEndMs = Math.min(this.#nextEndMs, endMs);
    if (!firstHand) this.#told.set(teller ?? id, (this.#told.get(teller ?? id) ?? 0) + 1);
    (firstHand ? this.#firstHand : this.#hearsay).add(host, id);
    return record;
  }

  /** Handles a record that is not newer than the known one: an old record, or a copy. Checks no signature. */
  #again(
    entry: Entry,
    read: UnverifiedRecord,
    wallMs: number,
    teller: PeerId | undefined,
    host: string | undefined,
  ): PeerRecord | PeerBookFault {
    const { record } = entry;
    // Another record with the same time: its signer violates the protocol, and the first one is kept.
    if (record.issuedMs > read.issuedMs || !equalBytes(entry.signed, read.signed)) return 'stale';
    const added = read.addrs.filter((addr) => !record.addrs.includes(addr));
    if (!added.every((addr) => leadsTo(addr, record.id))) return 'wrong_id';
    const bytes = added.length === 0 ? record.bytes : mergeCopies(record.bytes, read.bytes);
    const merged = added.length === 0 ? record : { ...record, addrs: readPeerRecord(bytes)!.addrs, bytes };
    // A second-hand record now comes from the peer itself.
    if (teller === record.id && entry.teller !== teller) this.#take(wallMs, merged, entry.signed, teller, host);
    else this.#entries.set(record.id, { ...entry, record: merged });
    return added.length === 0 ? 'stale' : merged;
  }

  #stateOf(id: PeerId, addr: string): AddrState | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || !entry.record.addrs.includes(addr)) return undefined;
    const state = entry.states.get(addr) ?? { reached: false, failures: 0, nextMs: 0 };
    entry.states.set(addr, state);
    return state;
  }

  #drop(id: PeerId, { record, teller }: Entry): void {
    this.#entries.delete(id);
    this.#ids.delete(keyOf(record.publicKey.spki));
    this.#hearsay.delete(id);
    this.#firstHand.delete(id);
    if (teller === id) return;
    const by = teller ?? id;
    const left = (this.#told.get(by) ?? 1) - 1;
    if (left === 0) this.#told.delete(by);
    else this.#told.set(by, left);
  }

  /** A second-hand record never evicts a first-hand one. */
  #makeRoom(host: string, firstHand: boolean): boolean {
    const hearsay = firstHand
      ? this.#hearsay.oldestOfBusiest
      : (this.#hearsay.victimFor(host) ?? this.#hearsay.oldestOfBusiest);
    const victim = hearsay ?? (firstHand ? this.#firstHand.victimFor(host) : undefined);
    const entry = victim === undefined ? undefined : this.#entries.get(victim);
    if (victim === undefined || entry === undefined) return false;
    this.#drop(victim, entry);
    return true;
  }
}

/** A record without the addresses that did not lead to its peer; a withdrawal as it is. */
function provenOf({ record, states }: Entry): Bytes | undefined {
  if (record.withdrawn) return record.bytes;
  const isReached = (addr: string): boolean => states.get(addr)?.reached === true;
  return record.addrs.some(isReached) ? withoutAddrs(record.bytes, isReached) : undefined;
}

/** A key as a map key: one character per byte. */
function keyOf(spki: Uint8Array): string {
  return String.fromCharCode(...spki);
}

function timeFault(wallMs: number, issuedMs: number, expiresMs: number): 'expired' | 'from_the_future' | undefined {
  if (expiresMs <= wallMs) return 'expired';
  return issuedMs > wallMs + MAX_SKEW_MS ? 'from_the_future' : undefined;
}
