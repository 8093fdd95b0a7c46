/** What every source of discovery yields: somewhere to try. */

import { type PeerId } from '../core/peer-id.ts';

/** An address that may lead to a peer. */
export interface Candidate {
  readonly id: PeerId;
  /** The address as text; the swarm that knows its form parses it. */
  readonly addr: string;
  /** Who says so: `exchange` for records that peers hand on. */
  readonly source: string;
  /** Realm wall time, in milliseconds since the Unix epoch. */
  readonly seenMs: number;
  readonly expiresMs: number;
}
