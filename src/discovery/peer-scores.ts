/**
 * The peers of a cache, and how good they are. It does no I/O and has no clock.
 *
 * Only addresses that were proven to be dialable are kept. The score of an address says how likely it is to work again,
 * and never becomes zero: after a year without contact the order is still that of experience, and peers that were
 * there for long stand first.
 */

import { sourceOf } from '../base/source-shares.ts';
import type { Candidate, CandidateFault, FailedCandidate, ReachedCandidate, ReachedProof } from '../core/candidate.ts';
import type { PeerId } from '../core/peer-id.ts';
import { socketAddressIn } from './addr-text.ts';

/** An address of a cached peer. All times are milliseconds since the Unix epoch. */
export interface CachedAddr {
  readonly addr: string;
  /** How it was proven last that it can be dialled. */
  readonly proof: ReachedProof;
  /** When it was proven first, and last. */
  readonly firstMs: number;
  readonly provenMs: number;
  /** Times that it worked, at most one an hour. */
  readonly successes: number;
  /** Times that it did not since then, at most one an hour; a success halves them. */
  readonly failures: number;
  readonly failedMs: number;
}

/** A cached peer. */
export interface CachedPeer {
  readonly id: PeerId;
  /** Best first, 1 to {@link MAX_CACHED_ADDRS}. */
  readonly addrs: readonly CachedAddr[];
}

/** Addresses of one peer. */
export const MAX_CACHED_ADDRS = 4;
/** Successes and failures are counted up to this. */
export const MAX_COUNT = 100;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** After this long without contact an address counts half. */
const HALF_LIFE_DAYS = 30;
/** An address that worked over so many days counts twice as much; over three times as many, four times. */
const LASTING_DAYS = 30;
const MAX_LASTING = 3;
/** At most this part of the peers may be of one prefix. */
const PREFIX_PART = 4;

/** Faults after which an address is not this peer's any more. */
const GONE: ReadonlySet<CandidateFault> = new Set<CandidateFault>(['self', 'wrong_key', 'wrong_network']);
/** Faults that say nothing against the address. */
const HARMLESS: ReadonlySet<CandidateFault> = new Set<CandidateFault>(['blacklisted', 'not_allowed', 'denied']);

/** Peers by PeerID, with their scores. */
export class PeerScores {
  readonly #maxPeers: number;
  readonly #maxPerPrefix: number;
  /** Bounded by `maxPeers`. */
  readonly #peers = new Map<PeerId, CachedPeer>();

  constructor(maxPeers: number) {
    this.#maxPeers = maxPeers;
    this.#maxPerPrefix = Math.max(2, Math.ceil(maxPeers / PREFIX_PART));
  }

  get size(): number {
    return this.#peers.size;
  }

  /** The peers, best first. */
  list(wallMs: number): readonly CachedPeer[] {
    return this.#ranked(wallMs);
  }

  /** Takes peers over, for example those of a file. Of a peer that is known, the one that was proven last stays. */
  add(wallMs: number, peers: Iterable<CachedPeer>): void {
    for (const peer of peers) {
      const known = this.#peers.get(peer.id);
      if (known === undefined || lastProven(peer) > lastProven(known)) this.#peers.set(peer.id, sorted(wallMs, peer));
    }
    this.#trim(wallMs);
  }

  /** An address led to its peer. Kept when it is proven that it can be dialled. @returns whether anything changed */
  reached(wallMs: number, { id, addr, proof }: ReachedCandidate): boolean {
    if (proof === undefined) return false;
    const addrs = this.#peers.get(id)?.addrs ?? [];
    const before = addrs.find((each) => each.addr === addr);
    const isLater = before === undefined || Math.abs(wallMs - before.provenMs) >= HOUR_MS;
    if (!isLater && before.failures === 0 && before.proof === proof) return false;
    const now: CachedAddr = {
      addr,
      proof,
      firstMs: before?.firstMs ?? wallMs,
      provenMs: wallMs,
      successes: Math.min((before?.successes ?? 0) + (isLater ? 1 : 0), MAX_COUNT),
      failures: Math.floor((before?.failures ?? 0) / 2),
      failedMs: before?.failedMs ?? 0,
    };
    this.#set(wallMs, { id, addrs: [now, ...addrs.filter((each) => each.addr !== addr)] });
    return true;
  }

  /**
   * An address failed. It counts at most once an hour, and removes nothing: a node without a network must not lose all
   * that it knows. An address that another peer has now is removed. @returns whether anything changed
   */
  failed(wallMs: number, { id, addr, reason }: FailedCandidate): boolean {
    if (HARMLESS.has(reason)) return false;
    const peer = id === undefined ? this.#byAddr(addr) : this.#peers.get(id);
    const before = peer?.addrs.find((each) => each.addr === addr);
    if (peer === undefined || before === undefined) return false;
    const others = peer.addrs.filter((each) => each !== before);
    if (GONE.has(reason)) {
      if (others.length === 0) this.#peers.delete(peer.id);
      else this.#set(wallMs, { id: peer.id, addrs: others });
      return true;
    }
    if (Math.abs(wallMs - before.failedMs) < HOUR_MS) return false;
    const now = { ...before, failures: Math.min(before.failures + 1, MAX_COUNT), failedMs: wallMs };
    this.#set(wallMs, { id: peer.id, addrs: [...others, now] });
    return true;
  }

  /** Removes a peer. */
  delete(id: PeerId): boolean {
    return this.#peers.delete(id);
  }

  /**
   * The addresses of a peer, best first; without one, of all peers: the best peer of each prefix (/24, /64) first, then the
   * second best of each, and so on, so that one network cannot be all that a node begins with.
   */
  candidates(wallMs: number, id?: PeerId): Candidate[] {
    if (id !== undefined) {
      const peer = this.#peers.get(id);
      return peer === undefined ? [] : peer.addrs.map((addr) => candidateOf(peer.id, addr));
    }
    const inTurn = this.#inTurn(wallMs);
    return Array.from({ length: MAX_CACHED_ADDRS }, (_, i) =>
      inTurn.flatMap(({ peer }) => (peer.addrs[i] === undefined ? [] : [candidateOf(peer.id, peer.addrs[i])])),
    ).flat();
  }

  #byAddr(addr: string): CachedPeer | undefined {
    for (const peer of this.#peers.values()) if (peer.addrs.some((each) => each.addr === addr)) return peer;
    return undefined;
  }

  #ranked(wallMs: number): readonly CachedPeer[] {
    const score = new Map(Array.from(this.#peers.values(), (peer) => [peer, scoreOf(wallMs, peer.addrs[0]!)]));
    return [...score.keys()].toSorted((a, b) => score.get(b)! - score.get(a)!);
  }

  /** The peers: the best of each prefix, best first, then the second best of each, and so on. */
  #inTurn(wallMs: number): readonly { readonly peer: CachedPeer; readonly turn: number }[] {
    const turns = new Map<string, number>(); // Bounded by the peers.
    return this.#ranked(wallMs)
      .map((peer) => {
        const prefix = prefixOf(peer);
        const turn = turns.get(prefix) ?? 0;
        turns.set(prefix, turn + 1);
        return { peer, turn };
      })
      .toSorted((a, b) => a.turn - b.turn);
  }

  /** Stores a peer with its best addresses, and makes room for it. */
  #set(wallMs: number, peer: CachedPeer): void {
    this.#peers.set(peer.id, sorted(wallMs, peer));
    this.#trim(wallMs, peer.id);
  }

  /**
   * Removes peers until the bounds hold: the worst of the prefix with the most peers.
   *
   * @param keep - stays.
   */
  #trim(wallMs: number, keep?: PeerId): void {
    const inTurn = this.#inTurn(wallMs);
    const kept = inTurn.findLast(({ peer }) => peer.id === keep);
    // The one to keep takes the last place that its prefix has.
    const mayHave = (each: (typeof inTurn)[number]): number =>
      kept !== undefined && kept.turn >= this.#maxPerPrefix && prefixOf(each.peer) === prefixOf(kept.peer)
        ? this.#maxPerPrefix - 1
        : this.#maxPerPrefix;
    let left = this.#maxPeers - (kept === undefined ? 0 : 1);
    for (const each of inTurn) {
      if (each === kept) continue;
      if (left > 0 && each.turn < mayHave(each)) left--;
      else this.#peers.delete(each.peer.id);
    }
  }
}

/** The peer with its best addresses, best first. */
function sorted(wallMs: number, { id, addrs }: CachedPeer): CachedPeer {
  const best = addrs.toSorted((a, b) => scoreOf(wallMs, b) - scoreOf(wallMs, a)).slice(0, MAX_CACHED_ADDRS);
  return { id, addrs: best };
}

/** The prefix of a peer's best address; a peer without an IP has one of its own. */
function prefixOf({ id, addrs }: CachedPeer): string {
  const socket = socketAddressIn(addrs[0]!.addr);
  return socket === undefined ? id : sourceOf(socket.ip);
}

function scoreOf(wallMs: number, { firstMs, provenMs, successes, failures }: CachedAddr): number {
  // Clocks may have been set back: what was proven in the future was proven now.
  const ageDays = Math.max(0, wallMs - provenMs) / DAY_MS;
  const lastedDays = Math.max(0, provenMs - firstMs) / DAY_MS;
  const reliability = (successes + 1) / (successes + failures + 2);
  const recency = 1 / (1 + ageDays / HALF_LIFE_DAYS);
  return reliability * recency * (1 + Math.min(lastedDays / LASTING_DAYS, MAX_LASTING));
}

function lastProven({ addrs }: CachedPeer): number {
  return Math.max(...addrs.map(({ provenMs }) => provenMs));
}

function candidateOf(id: PeerId, { addr, provenMs }: CachedAddr): Candidate {
  return { id, addr, source: 'cache', seenMs: provenMs, expiresMs: Infinity, trust: 'reached' };
}
