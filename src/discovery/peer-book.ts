/**
 * Signed records of peers, bounded: what is kept of what others say, and what came of the addresses in it. It has no clock
 * and makes no calls, so that its owner decides when to look and which peer to ask.
 */

import { equalBytes, type Bytes } from '../base/bytes.ts';
import { wholeNumber } from '../base/checks.ts';
import { type PeerId } from '../core/peer-id.ts';
import { SourceShares } from '../base/source-shares.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import { type KeyRegistry } from '../identity/key-algorithm.ts';
import { type Candidate } from '../core/candidate.ts';
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

/** What a peer book holds at most. */
export interface PeerBookOptions {
  /**
   * Records in all. When it is full, a record makes room that came from the network (/24, /64) that brought the most, hearsay
   * before what peers have said themselves. @default 1024
   */
  readonly maxPeers?: number | undefined;
  /** Records that one peer has told of others, so that nobody fills the book alone. @default 256 */
  readonly maxPeersPerTeller?: number | undefined;
  /** A record is believed for so long after it was heard, whatever it says itself. @default 900_000, fifteen minutes */
  readonly maxBelievedMs?: number | undefined;
  /** Key algorithms that signatures may be of. @default Ed25519 and ECDSA P-256 */
  readonly registry?: KeyRegistry | undefined;
}

/**
 * Why a record was not taken. `stale`: this one or a newer one is known, or was until it was forgotten.
 */
export type PeerBookFault = RecordFault | 'expired' | 'from_the_future' | 'stale' | 'full';

/** Clocks of peers may be so far apart: NTP keeps them within seconds, phones and boards without it within minutes. */
export const MAX_SKEW_MS = 600_000;

/** An address that has been reached is tried again after so long when it fails, and then after twice as long each time. */
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** What came of an address. */
interface AddrState {
  /** It led to the peer at least once. */
  reached: boolean;
  /** Tries since then that led nowhere, or are under way. */
  failures: number;
  /** Not tried before this. */
  nextMs: number;
}

interface Entry {
  readonly record: PeerRecord;
  /** What is signed: tells copies of one record from other records. */
  readonly signed: Bytes;
  /** Who handed it over; the peer itself where it came first-hand. */
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
  /** PeerIDs of the entries by key, so that a key that is known is not hashed again. Bounded by the entries. */
  readonly #ids = new Map<string, PeerId>();
  /** Records of hearsay by teller. Bounded by the entries. */
  readonly #told = new Map<PeerId, number>();
  /** The entries by where they came from: hearsay, and what peers have said themselves. Bounded by the entries. */
  readonly #hearsay = new SourceShares<PeerId>();
  readonly #firstHand = new SourceShares<PeerId>();
  /** When what was forgotten was issued: older word of it is not taken again. Bounded by `maxPeers`, the oldest goes first. */
  readonly #forgotten = new Map<PeerId, number>();
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

  /** Signatures that were checked so far. */
  get verifications(): number {
    return this.#verifications;
  }

  /**
   * Takes a record, if it is right and newer than what is known. The signature is checked last, and never twice for one
   * record.
   *
   * @param teller - who handed it over, as far as that is proven.
   * @param host - the IP it came from, so that one host cannot fill the book. @default each teller is a host of its own
   * @returns the record, or why it was not taken.
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

  /** Whether this very record is known, whatever was left out of its copies. */
  knows({ spki, signed }: UnverifiedRecord): boolean {
    const id = this.#ids.get(keyOf(spki));
    const entry = id === undefined ? undefined : this.#entries.get(id);
    return entry !== undefined && equalBytes(entry.signed, signed);
  }

  /** The record in `bytes`, its signature checked by this book's algorithms; nothing is kept. Never throws. */
  check(bytes: Uint8Array): PeerRecord | RecordFault {
    this.#verifications++;
    return verifyPeerRecord(bytes, this.#registry);
  }

  /** As {@link PeerBook.add}, for a record whose signature has been checked. */
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

  /** What is known of a peer and still holds good; `undefined` also for one that has left. */
  get(wallMs: number, id: PeerId): PeerRecord | undefined {
    this.expire(wallMs);
    const record = this.#entries.get(id)?.record;
    return record?.withdrawn === true ? undefined : record;
  }

  /** All records that hold good, the latest last, without those of peers that have left. */
  records(wallMs: number): PeerRecord[] {
    this.expire(wallMs);
    return [...this.#entries.values()].flatMap(({ record }) => (record.withdrawn ? [] : [record]));
  }

  /**
   * What may be handed on: records with the addresses that led to their peers, the others left out, and withdrawals.
   * What nobody has reached is hearsay, and stays here.
   */
  proven(wallMs: number): { readonly id: PeerId; readonly bytes: Bytes }[] {
    this.expire(wallMs);
    const proven: { readonly id: PeerId; readonly bytes: Bytes }[] = [];
    for (const [id, { record, states }] of this.#entries) {
      if (record.withdrawn) proven.push({ id, bytes: record.bytes });
      else if (record.addrs.some((addr) => states.get(addr)?.reached === true)) {
        proven.push({ id, bytes: withoutAddrs(record.bytes, (addr) => states.get(addr)?.reached === true) });
      }
    }
    return proven;
  }

  /**
   * Where to try a peer now, best first: those that were reached, then those that were not tried yet. One that was tried in
   * vain comes back after a pause if it was reached before, and else with a newer record.
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
      .map((addr) => ({ id, addr, source: 'exchange', seenMs, expiresMs: endMs }));
  }

  /** Whether an address has led to its peer. */
  isReached(id: PeerId, addr: string): boolean {
    return this.#entries.get(id)?.states.get(addr)?.reached === true;
  }

  /** Notes that an address is being tried: until it is reached that counts as a failure. */
  noteTry(wallMs: number, id: PeerId, addr: string): void {
    const state = this.#stateOf(id, addr);
    if (state === undefined) return;
    state.failures++;
    const pauseMs = Math.min(FIRST_RETRY_MS * 2 ** (state.failures - 1), MAX_RETRY_MS);
    state.nextMs = state.reached ? wallMs + pauseMs : Infinity;
  }

  /** Notes that an address has led to its peer. */
  noteReached(id: PeerId, addr: string): void {
    const state = this.#stateOf(id, addr);
    if (state === undefined) return;
    state.reached = true;
    state.failures = 0;
    state.nextMs = 0;
  }

  /** Forgets a peer. Others bring it back with a newer record only; the peer itself with this one too. */
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

  /** Forgets what does not hold good any more. */
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
    // What is known of an address does not depend on the record that names it; a newer record is a new chance.
    const states = new Map<string, AddrState>();
    for (const addr of record.addrs) {
      if (before?.states.get(addr)?.reached === true) states.set(addr, { reached: true, failures: 0, nextMs: 0 });
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

  /** A record that is not newer than the one known. No signature is checked: it is an old one, or a copy of ours. */
  #again(
    entry: Entry,
    read: UnverifiedRecord,
    wallMs: number,
    teller: PeerId | undefined,
    host: string | undefined,
  ): PeerRecord | PeerBookFault {
    const { record } = entry;
    // Another record of the same instant: its signer does not keep to the rules, and the first counts.
    if (record.issuedMs > read.issuedMs || !equalBytes(entry.signed, read.signed)) return 'stale';
    const added = read.addrs.filter((addr) => !record.addrs.includes(addr));
    if (!added.every((addr) => leadsTo(addr, record.id))) return 'wrong_id';
    const bytes = added.length === 0 ? record.bytes : mergeCopies(record.bytes, read.bytes);
    const merged = added.length === 0 ? record : { ...record, addrs: readPeerRecord(bytes)!.addrs, bytes };
    // What was hearsay comes from the peer itself now.
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

  /** What peers have said themselves is not given up for hearsay. */
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

/** A key as a map key: one character a byte. */
function keyOf(spki: Uint8Array): string {
  return String.fromCharCode(...spki);
}

function timeFault(wallMs: number, issuedMs: number, expiresMs: number): 'expired' | 'from_the_future' | undefined {
  if (expiresMs <= wallMs) return 'expired';
  return issuedMs > wallMs + MAX_SKEW_MS ? 'from_the_future' : undefined;
}
