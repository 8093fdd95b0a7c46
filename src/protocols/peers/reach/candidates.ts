/** The candidates of one peer: bounded, with a share per source, and in the order in which they are dialled. */

import type { Millis } from '../../../base/machine.ts';
import type { CandidateTrust } from '../../../core/candidate.ts';
import type { AttemptRecord, ReachCandidate, ReachKind } from './types.ts';

/** A candidate with what is known of it. */
export interface Known {
  readonly key: string;
  candidate: ReachCandidate;
  /** The order of arrival. */
  readonly order: number;
  /** The round in which it was last dialled, or passed over. */
  round: number;
  /** Attempts in that round. */
  tries: number;
  /** It was given up for others, and gets another attempt at the end of the round. */
  again: boolean;
  /** The running attempt. */
  attempt: number | undefined;
  /** Failures since it last led to the peer. */
  failures: number;
  /** It leads to somebody else; not dialled before this time without a newer word. */
  pausedUntilMs: Millis;
  last: AttemptRecord | undefined;
}

/** A candidate that worked once loses its precedence after so many failures. */
const MAX_PROVEN_FAILURES = 3;
/** A newer word, such as the next beacon, brings another attempt in the same round no sooner than that after the last one. */
const AGAIN_MS = 1000;

/** Whether somebody else claims the address, and nothing proves it. */
export function isClaimed({ candidate: { trust = 'claimed' } }: Known): boolean {
  return trust === 'claimed';
}

const keyOf = ({ kind, transport, addr }: ReachCandidate): string => `${kind} ${transport} ${addr}`;

/** The candidates of one peer. */
export class CandidateTable {
  readonly #max: number;
  /** Bounded by `max`; {@link CandidateTable.add} makes room. */
  readonly #known = new Map<string, Known>();
  #order = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#known.size;
  }

  values(): Iterable<Known> {
    return this.#known.values();
  }

  /** The candidate of a connection. */
  find(kind: ReachKind, transport: string, addr: string): Known | undefined {
    return this.#known.get(`${kind} ${transport} ${addr}`);
  }

  /**
   * Adds a candidate, or what is new of a known one: with a newer word it may be dialled again in the same round. When the table is
   * full, the largest source loses its least useful candidate.
   *
   * @returns `undefined` when its own source is the largest, and has nothing less useful.
   */
  add(now: Millis, candidate: ReachCandidate): Known | undefined {
    const key = keyOf(candidate);
    const before = this.#known.get(key);
    if (before !== undefined) {
      const isNewer = candidate.seenMs > before.candidate.seenMs || isBetter(candidate, before.candidate);
      before.candidate = merged(before.candidate, candidate);
      if (isNewer && now - (before.last?.endMs ?? -Infinity) >= AGAIN_MS) {
        before.pausedUntilMs = -Infinity;
        before.round = -1;
      }
      return before;
    }
    const known: Known = {
      key,
      candidate,
      order: this.#order++,
      round: -1,
      tries: 0,
      again: false,
      attempt: undefined,
      failures: 0,
      pausedUntilMs: -Infinity,
      last: undefined,
    };
    if (this.#known.size >= this.#max && !this.#makeRoom(known)) return undefined;
    this.#known.set(key, known);
    return known;
  }

  /** Removes candidates that have expired and are not being dialled. */
  expire(now: Millis): void {
    for (const [key, { candidate, attempt }] of this.#known) {
      if (attempt === undefined && now >= (candidate.expiresMs ?? Infinity)) this.#known.delete(key);
    }
  }

  #makeRoom(fresh: Known): boolean {
    const counts = new Map<string, number>();
    for (const { candidate } of this.#known.values()) {
      counts.set(candidate.source, (counts.get(candidate.source) ?? 0) + 1);
    }
    const own = fresh.candidate.source;
    const most = Math.max(...counts.values());
    let victim: Known | undefined;
    for (const known of this.#known.values()) {
      const { source } = known.candidate;
      // The newcomer's source pays if it is among the largest: with the newcomer it would be the largest.
      const pays = (counts.get(own) ?? 0) >= most ? source === own : counts.get(source) === most;
      if (pays && known.attempt === undefined && (victim === undefined || worth(known) < worth(victim))) victim = known;
    }
    if (victim === undefined) return false;
    if (victim.candidate.source === own && worth(victim) >= worth(fresh)) return false;
    this.#known.delete(victim.key);
    return true;
  }
}

/** What a candidate is worth to keep: proven ones most, then those of the own lists; of equals the one that has not failed. */
function worth(known: Known): number {
  const { candidate, failures } = known;
  return 2 * TRUST.indexOf(candidate.trust ?? 'claimed') + (failures === 0 ? 1 : 0);
}

/** From the least. */
const TRUST: readonly CandidateTrust[] = ['claimed', 'given', 'reached'];

const isBetter = ({ trust = 'claimed' }: ReachCandidate, before: ReachCandidate): boolean =>
  TRUST.indexOf(trust) > TRUST.indexOf(before.trust ?? 'claimed');

function merged(before: ReachCandidate, fresh: ReachCandidate): ReachCandidate {
  return {
    ...before,
    ...(isBetter(fresh, before) ? { source: fresh.source, trust: fresh.trust } : {}),
    scope: fresh.scope ?? before.scope,
    ip: fresh.ip ?? before.ip,
    isOwnRelay: before.isOwnRelay === true || fresh.isOwnRelay === true,
    seenMs: Math.max(before.seenMs, fresh.seenMs),
    expiresMs: Math.max(before.expiresMs ?? Infinity, fresh.expiresMs ?? Infinity),
  };
}

/** The group within which candidates are dialled one after the other. */
export function laneOf({ kind, transport }: ReachCandidate): string {
  return kind === 'direct' ? transport : kind === 'relay' ? 'relay' : `punch ${transport}`;
}

/** The first group is dialled first: what is near, what worked, private, public, and virtual bridges last. */
function rankOf(known: Known): number {
  const { scope = 'public', trust } = known.candidate;
  const claimed = isClaimed(known) ? 1 : 0;
  const isProven = trust === 'reached' && known.failures < MAX_PROVEN_FAILURES;
  if (known.again) return 16;
  if (scope === 'virtual') return 8 + (isProven ? 0 : 2) + claimed;
  if (scope === 'same_subnet' || scope === 'loopback' || scope === 'link_local') return claimed;
  if (isProven) return 2;
  return (scope === 'private' ? 4 : 6) + claimed;
}

const familyOf = ({ candidate: { ip } }: Known): number => (ip === undefined ? 0 : ip.includes(':') ? 6 : 4);

/**
 * The candidate to dial next, of those that may be dialled.
 *
 * @param lastFamily - the family of the one before it in this lane: within a rank IPv6 and IPv4 take turns, IPv6 first.
 */
export function bestOf(known: readonly Known[], lastFamily: number | undefined): Known | undefined {
  const turn = (each: Known): number => {
    const family = familyOf(each);
    return lastFamily === undefined ? (family === 6 ? 0 : 1) : family === lastFamily ? 1 : 0;
  };
  let best: Known | undefined;
  for (const each of known) {
    if (best === undefined) best = each;
    else {
      const order =
        rankOf(each) - rankOf(best) ||
        turn(each) - turn(best) ||
        best.candidate.seenMs - each.candidate.seenMs ||
        each.order - best.order;
      if (order < 0) best = each;
    }
  }
  return best;
}

/** The family of a candidate's IP: 4, 6, or 0 without one. */
export { familyOf };
