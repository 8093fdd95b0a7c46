/** What every source of peers yields: somewhere to try. */

import { type PeerId } from './peer-id.ts';

/** An address that may lead to a peer. */
export interface Candidate {
  /** Whose address it is said to be; absent when the source knows an address and no peer. */
  readonly id?: PeerId | undefined;
  /** The address as text; the swarm that knows its form parses it. */
  readonly addr: string;
  /** Who says so: `exchange` for records that peers hand on. */
  readonly source: string;
  /** When it was last known to be true: realm wall time, in milliseconds since the Unix epoch. */
  readonly seenMs: number;
  /** When it is worth nothing any more, on the same clock. */
  readonly expiresMs: number;
}

/** Something that knows where peers may be: peer exchange, a cache, a DHT. */
export interface CandidateSource {
  /** Where to try a peer, best first; candidates may come over time. */
  candidates(id: PeerId): Iterable<Candidate> | AsyncIterable<Candidate> | Promise<Iterable<Candidate>>;
}
