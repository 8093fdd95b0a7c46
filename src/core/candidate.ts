/** Results of peer sources: addresses to try, and what came of trying them. */

import { P2PError } from './errors.ts';
import type { PeerId } from './peer-id.ts';

/**
 * Why an address may be tried, which decides how carefully:
 *
 * - `given`: the user wrote it, or it was heard on this node's own link;
 * - `reached`: it has led this node to its peer before;
 * - `claimed`: somebody says so. It may name a victim, see `net/probe-targets.ts`.
 */
export type CandidateTrust = 'given' | 'reached' | 'claimed';

/** An address that may lead to a peer. */
export interface Candidate {
  /** The peer it is said to belong to; absent when the source knows only the address. */
  readonly id?: PeerId | undefined;
  /** The address as text; the swarm that knows its form parses it. */
  readonly addr: string;
  /** The name of the source: `exchange` for records that peers pass on, `cache`, `contacts`, `lan` … */
  readonly source: string;
  /** When the source last confirmed it: realm wall time, in milliseconds since the Unix epoch. */
  readonly seenMs: number;
  /** When it expires, on the same clock; `Infinity` for never. */
  readonly expiresMs: number;
  /** @default 'claimed' */
  readonly trust?: CandidateTrust | undefined;
}

/**
 * How it was proven that others can dial an address. `dialled`: this node opened a connection to it, and the peer proved
 * its key there. `dial_back`: the peer had dialled this node, which then dialled the address that the peer had named.
 */
export type ReachedProof = 'dialled' | 'dial_back';

/** An address that led to its peer, which proved its key. */
export interface ReachedCandidate {
  readonly id: PeerId;
  readonly addr: string;
  /** Absent when it is not known whether the address can be dialled: the peer may have dialled from it. */
  readonly proof?: ReachedProof | undefined;
}

/**
 * Why a candidate did not lead to a peer:
 *
 * | fault | meaning |
 * | --- | --- |
 * | `self` | it is this node |
 * | `blacklisted` | the program excluded it |
 * | `not_allowed` | a list or `accept` on this side refuses the peer, or the address must not be tried |
 * | `denied` | the peer refused this node |
 * | `wrong_network` | the peer belongs to another network name |
 * | `wrong_key` | another key answered than the address names |
 * | `silent` | something accepted the connection, or nothing refused it, and no answer came in time |
 * | `unreachable` | the address cannot be reached, or cannot be parsed |
 */
export const CANDIDATE_FAULTS = [
  'self',
  'blacklisted',
  'not_allowed',
  'denied',
  'wrong_network',
  'wrong_key',
  'silent',
  'unreachable',
] as const;

/** One of {@link CANDIDATE_FAULTS}. */
export type CandidateFault = (typeof CANDIDATE_FAULTS)[number];

/** A candidate that did not lead to a peer. */
export interface FailedCandidate {
  /** The peer that the candidate named, if any. */
  readonly id?: PeerId | undefined;
  readonly addr: string;
  readonly reason: CandidateFault;
}

/** Options of a query to a source. */
export interface CandidateOptions {
  /** Ends the query: the source yields nothing more and releases what it holds. @default undefined */
  readonly signal?: AbortSignal | undefined;
}

/** What a source answers; candidates may arrive over time. */
export type Candidates = Iterable<Candidate> | AsyncIterable<Candidate> | Promise<Iterable<Candidate>>;

/** A source of peer addresses: a cache, contacts, peer exchange, the LAN, a DHT. */
export interface CandidateSource {
  /**
   * The addresses to try, best first. The caller reads as many as it needs; a source that never ends stops at `signal`.
   *
   * @param id - the peer to reach. @default any peer to begin with
   */
  candidates(id?: PeerId, options?: CandidateOptions): Candidates;
  /** Hears that a candidate led to its peer, whichever source named it. Must not throw. */
  reached?(outcome: ReachedCandidate): void;
  /** Hears that a candidate failed, whichever source named it. Must not throw. */
  failed?(outcome: FailedCandidate): void;
}

/** The fault of a candidate whose attempt ended with an error. */
export function candidateFaultOf(error: unknown): CandidateFault {
  if (P2PError.is(error, 'identity_mismatch')) return 'wrong_key';
  if (P2PError.is(error, 'refused')) return error.side === 'local' ? 'not_allowed' : 'denied';
  return P2PError.is(error, 'timeout') ? 'silent' : 'unreachable';
}
