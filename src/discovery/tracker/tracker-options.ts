/** The contract of a tracker's client. */

import type { Cell } from '../../cells/cell.ts';
import type { HttpFetch } from '../../cells/http-cell.ts';
import type { Candidate, CandidateOptions, CandidateSource } from '../../core/candidate.ts';
import type { Counters } from '../../core/counters.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';

/**
 * What a tracker's client reports:
 *
 * | code | meaning |
 * | --- | --- |
 * | `unreachable` | the cell could not be read or written; it is tried again |
 * | `malformed` | the cell holds no such JSON, which the next announcement replaces, or what nobody with the token has written |
 * | `rolled_back` | the cell shows an older state than this client has seen, or lacks what it has written: the server has lost that, or the server or somebody with the token has brought it back |
 * | `crowded` | the cell is full, and the peers that announced longest ago were left out |
 */
export type TrackerFaultCode = 'unreachable' | 'malformed' | 'rolled_back' | 'crowded';

/** A fault of a tracker. */
export interface TrackerFault {
  readonly code: TrackerFaultCode;
  /** One sentence. */
  readonly text: string;
  readonly cause?: unknown;
}

/** Options of `openTracker`. */
export interface TrackerOptions {
  /** The token of the network, a URL with its secret: `https://tracker.example.org/<cell>#<secret>`. Or any cell; nothing is sealed or signed then. */
  readonly at: string | Cell;
  /** This node. Its own entries are not given as candidates. @default nothing is announced */
  readonly id?: PeerId | undefined;
  /** The addresses that are announced, asked again for each announcement. @default nothing is announced */
  readonly addrs?: (() => readonly string[]) | undefined;
  /** How long an announcement holds, in milliseconds, 10 000 to 86 400 000. @default 120 000 */
  readonly ttlMs?: number | undefined;
  /**
   * How often it is repeated, in milliseconds, at most a half of `ttlMs`. go-p2p's server forgets what was not written for a minute.
   * @default 30 000, or a quarter of `ttlMs` if that is less
   */
  readonly everyMs?: number | undefined;
  /** For how long what was read answers further look-ups, in milliseconds, 0 to 60 000. @default 2000 */
  readonly cacheMs?: number | undefined;
  /** The longest cell, for `at` as a token: what the server takes. @default 32 768, as go-p2p's */
  readonly maxCellBytes?: number | undefined;
  /** @default the platform's */
  readonly fetch?: HttpFetch | undefined;
  /** Called for each fault; of equal ones in a row for the first. Must not throw. */
  readonly onFault?: ((fault: TrackerFault) => void) | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/** A tracker, as a source of candidates. */
export interface Tracker extends CandidateSource, AsyncDisposable {
  /** `sent`: announcements, `received`: readings. Drops: `malformed`, `tracker.expired`, `tracker.rolled_back`, `tracker.crowded`, `tracker.unreachable`. */
  readonly counters: Counters;
  /** The addresses that hold, of one peer or of all but this node, newest first. Reports faults and gives nothing then. */
  candidates(id?: PeerId, options?: CandidateOptions): AsyncIterable<Candidate>;
  /**
   * The addresses of a peer that hold.
   *
   * @throws {P2PError} (by rejection) `unreachable`, `timeout`, `identity_mismatch`, `closed`.
   */
  lookUp(id: PeerId, options?: CandidateOptions): Promise<readonly Candidate[]>;
  /**
   * Announces now. While the tracker is open, that is repeated by itself.
   *
   * @param addrs - @default those of the options
   * @throws {P2PError} (by rejection) as {@link Tracker.lookUp}.
   */
  announce(addrs?: readonly string[], options?: CandidateOptions): Promise<void>;
  /** Takes the own entry out, and stops repeating. @throws {P2PError} (by rejection) as {@link Tracker.lookUp}. */
  withdraw(options?: CandidateOptions): Promise<void>;
  /** Ends all calls, and stops announcing; the last announcement holds until its end. Never rejects. */
  close(): Promise<void>;
}
