/** What goes into the reach machine and what comes out of it. */

import type { Millis } from '../../../base/machine.ts';
import type { Side } from '../../../core/accept.ts';
import type { CandidateTrust } from '../../../core/candidate.ts';
import type { PeerId } from '../../../core/peer-id.ts';

/** How a path leads to the peer: dialled, opened by both sides at once through NATs, or by way of another node. */
export type ReachKind = 'direct' | 'punch' | 'relay';

/**
 * Where an address is, seen from this host: in the subnet of one of its interfaces, on this machine, valid on one link, in a private
 * network, public, or behind a virtual bridge (of containers or virtual machines), which mostly leads nowhere.
 */
export type AddressScope = 'same_subnet' | 'loopback' | 'link_local' | 'private' | 'public' | 'virtual';

/** An address that may lead to a peer. */
export interface ReachCandidate {
  /** The name of the transport that dials it: `tcp`, `quic`, or that of a swarm of the user's. */
  readonly transport: string;
  /** The address as the transport writes it; at most 512 characters. */
  readonly addr: string;
  readonly kind: ReachKind;
  /** The name of the source: `cache`, `contacts`, `lan`, `exchange` … */
  readonly source: string;
  /** @default 'public' */
  readonly scope?: AddressScope | undefined;
  /** Its IP, canonical; absent when it has none. */
  readonly ip?: string | undefined;
  /** Why it may be tried: `reached` ones come before others, `claimed` ones after them and as small probes. @default 'claimed' */
  readonly trust?: CandidateTrust | undefined;
  /** The relay is of this node's own list. @default false */
  readonly isOwnRelay?: boolean | undefined;
  /** When the source last confirmed it. Compared with other candidates only, so any clock will do. */
  readonly seenMs: number;
  /** When it expires, on the clock of `now`. @default Infinity */
  readonly expiresMs?: Millis | undefined;
}

/**
 * Which paths may be used. `direct`: no relays. `no_third_party`: no relays, and no punching, which needs a coordinator. `own_relays`:
 * relays of this node's list only. `relayed`: relays only.
 */
export type ReachPolicy = 'any' | 'direct' | 'no_third_party' | 'own_relays' | 'relayed';

/**
 * Why an attempt failed. `refused`: the host answered that nothing listens there. `silent`: no answer. `unreachable`: no route.
 * `filtered`: a firewall said so. `wrong_key`: another peer is there. `wrong_network`: it uses another network name. `denied`: the peer's
 * lists or `accept` refuse this node. `not_allowed`: this node's do. `version`: no version in common. `clock`: the clocks differ too much.
 * `nat`: the NATs of both sides leave no way between them. `self`: this node is there. `closed`: the connection was closed during the handshake. `abandoned`: this node gave it up.
 */
export type FailureReason =
  | 'refused'
  | 'silent'
  | 'unreachable'
  | 'filtered'
  | 'wrong_key'
  | 'wrong_network'
  | 'denied'
  | 'not_allowed'
  | 'version'
  | 'clock'
  | 'nat'
  | 'self'
  | 'closed'
  | 'abandoned';

/** What came of an attempt; exactly one for each, also after `abandon`. */
export type AttemptResult =
  | { readonly type: 'open' }
  | { readonly type: 'failed'; readonly reason: FailureReason; readonly detail?: string | undefined };

/** A path on which the peer is connected. */
export interface ReachPath {
  readonly transport: string;
  readonly addr: string;
  readonly kind: ReachKind;
  /** What the peer is: `'responder'` when this node dialled. */
  readonly side: Side;
}

/** What the driver does. */
export type ReachAction =
  /** Asks all sources for candidates of this peer; `searched` when they have answered. */
  | { readonly type: 'search'; readonly id: PeerId }
  /**
   * Dials. `isProbe`: somebody else named the address, and it may be a victim's; the transport sends as little as it can until the
   * address has answered.
   */
  | {
      readonly type: 'dial';
      readonly attempt: number;
      readonly id: PeerId;
      readonly transport: string;
      readonly addr: string;
      readonly kind: ReachKind;
      readonly isProbe: boolean;
    }
  /** Gives up an attempt, by a rule. It holds its place until the outcome is reported, so report it at once. */
  | { readonly type: 'abandon'; readonly attempt: number; readonly rule: ReachRule };

/** What the program or the log learns. */
export type ReachEvent =
  /** There is a path to a peer that somebody wants. */
  | ({ readonly type: 'reached'; readonly id: PeerId } & ReachPath)
  /** All that is known has been tried. Everybody who wants the peer is told; `want` begins again. */
  | {
      readonly type: 'unreachable';
      readonly id: PeerId;
      readonly reason: UnreachableReason;
      /** What was tried in this round, in order. */
      readonly tried: readonly AttemptRecord[];
    }
  /** An attempt has ended. */
  | ({ readonly type: 'tried'; readonly id: PeerId } & AttemptRecord)
  /** A candidate is not dialled. */
  | ({ readonly type: 'not_dialled'; readonly id: PeerId } & RefusedCandidate);

/** `no_address`: no source has a candidate that may be dialled. `full`: too many peers are wanted. */
export type UnreachableReason = 'no_address' | 'all_failed' | 'deadline' | 'full';

/** The rule by which an attempt ended, or a candidate was not dialled. */
export type ReachRule =
  /** The transport reported the outcome. */
  | 'outcome'
  /** No outcome within the time of an attempt. */
  | 'timeout'
  /** Others waited for its place. It gets a second attempt at the end of the round. */
  | 'made_room'
  /** Another path was open before. */
  | 'other_path'
  /** Nobody wants the peer any more. */
  | 'unwanted'
  /** The host slept or its uplink changed; it begins again. */
  | 'woken'
  /** The time of the round was over. */
  | 'deadline'
  /** The candidate has expired. */
  | 'expired'
  /** The policy for this peer excludes it. */
  | 'policy'
  /** This node does not use the transport. */
  | 'transport'
  /** `mayTry` refused it. */
  | 'not_allowed'
  /** It has led to something else than this peer a short time ago. */
  | 'paused'
  /** The peer has too many candidates of this source. */
  | 'share';

/** An attempt that has ended. */
export interface AttemptRecord {
  readonly transport: string;
  readonly addr: string;
  readonly kind: ReachKind;
  readonly source: string;
  readonly startMs: Millis;
  readonly endMs: Millis;
  readonly result: 'open' | FailureReason;
  readonly rule: ReachRule;
  /** Text of the transport or of the peer; at most 200 characters. Escape it where it is shown. */
  readonly detail: string | undefined;
}

/** A candidate that is not dialled. */
export interface RefusedCandidate {
  readonly transport: string;
  readonly addr: string;
  readonly kind: ReachKind;
  readonly source: string;
  readonly atMs: Millis;
  readonly rule: ReachRule;
  /** A sentence. Escape it where it is shown. */
  readonly reason: string;
}

/** How a peer is kept. */
export interface MaintainOptions {
  readonly policy?: ReachPolicy | undefined;
  /** The pause after the first failure; it doubles with each further one, and is then shortened by chance to half of it at most. @default 1000 */
  readonly firstPauseMs?: number | undefined;
  /** @default 60_000 */
  readonly maxPauseMs?: number | undefined;
}

/** Limits and times of a reach machine. */
export interface ReachOptions {
  /** 16 random bytes, for the jitter of pauses. */
  readonly seed: Uint8Array;
  /**
   * Asked before each attempt. It refuses what the lists exclude, and claimed addresses that must not be tried, that were tried before,
   * or that are too many (`ProbeTargets.takeCandidate`); each yes counts as a try.
   *
   * @returns why the address must not be tried, as a sentence.
   */
  readonly mayTry: (now: Millis, id: PeerId, candidate: ReachCandidate) => string | undefined;
  /** Transports in the order in which they are tried; others come after them. @default ['tcp', 'quic'] */
  readonly prefer?: readonly string[] | undefined;
  /** Transports that may be used. @default all */
  readonly transports?: readonly string[] | undefined;
  /** The advance of a transport before the next. @default 250 */
  readonly headStartMs?: number | undefined;
  /** Between two addresses of a transport, 100 to 250. @default 150 */
  readonly staggerMs?: number | undefined;
  /** After which an attempt is given up. @default 10_000 */
  readonly attemptMs?: number | undefined;
  /** After which all attempts for a peer are given up. @default 30_000 */
  readonly roundMs?: number | undefined;
  /** How long sources may take. @default 5000 */
  readonly searchMs?: number | undefined;
  /** Attempts at once for one peer, 1 to 8; of 2 or more, one place is for relays only. @default 8 */
  readonly maxAttemptsPerPeer?: number | undefined;
  /** Attempts at once for all peers. @default 128 */
  readonly maxAttempts?: number | undefined;
  /** Peers that are known. Those that nobody wants are evicted, with a share per source. @default 4096 */
  readonly maxPeers?: number | undefined;
  /** Candidates of a peer, with a share per source. @default 32 */
  readonly maxCandidates?: number | undefined;
}
