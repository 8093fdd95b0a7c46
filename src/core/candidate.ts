/** Results of peer sources: addresses to try. */

import { type PeerId } from './peer-id.ts';

/** An address that may lead to a peer. */
export interface Candidate {
  /** The peer it is said to belong to; absent when the source knows only the address. */
  readonly id?: PeerId | undefined;
  /** The address as text; the swarm that knows its form parses it. */
  readonly addr: string;
  /** The name of the source: `exchange` for records that peers pass on. */
  readonly source: string;
  /** When the source last confirmed it: realm wall time, in milliseconds since the Unix epoch. */
  readonly seenMs: number;
  /** When it expires, on the same clock. */
  readonly expiresMs: number;
}

/** A source of peer addresses: peer exchange, a cache, a DHT. */
export interface CandidateSource {
  /** The addresses to try for a peer, best first; candidates may arrive over time. */
  candidates(id: PeerId): Iterable<Candidate> | AsyncIterable<Candidate> | Promise<Iterable<Candidate>>;
}
