/** What the program sees of a connection manager. */

import type { Addr } from '../core/addr.ts';
import type { Recheckable } from '../core/accept.ts';
import type { Candidate } from '../core/candidate.ts';
import type { Inspection } from '../core/inspect.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey, SecureAskSwarm, SecureSwarm } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { RelayReservation } from '../nat/relay-link.ts';
import type { RelayService } from '../nat/relay-service.ts';
import type { BootstrapResult } from '../protocols/bootstrap/bootstrap.ts';
import type { PeerKind } from '../protocols/peers/hello.ts';
import type { ReachExplanation } from '../protocols/peers/reach/explain.ts';
import type { ReachReport } from '../protocols/peers/reach/report.ts';
import type { Dht } from '../overlay/kademlia/dht.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import type { PeerAddr } from './address.ts';
import type { PathInfo, PeerChanges } from './changes.ts';
import type { BanOptions, PeerLists } from './lists.ts';
import type { PeerStream } from './session-streams.ts';

/** A peer, as it is at this moment. */
export interface PeerInfo {
  readonly id: PeerId;
  /** `connecting`: no session yet. `interrupted`: the session waits for a path. */
  readonly state: 'connected' | 'interrupted' | 'connecting';
  /** `node` once it is proven that others can dial it: this node has dialled it, or has dialled back. */
  readonly kind: PeerKind;
  readonly path: PathInfo | undefined;
  /** The measured round trip, in milliseconds; `undefined` before one was measured. */
  readonly rttMs: number | undefined;
  /** When the session began, on the realm's clock. */
  readonly sinceMs: number | undefined;
  /** Messages in this session. */
  readonly sent: number;
  readonly received: number;
  readonly isMaintained: boolean;
}

/** A connected peer, to look at: it shows the state of the moment in which it is read. */
export interface PeerConnection extends PeerInfo {
  readonly publicKey: PublicKey;
}

/** An open path, and what was measured on it. */
export interface MeasuredPath extends PathInfo {
  /** In milliseconds; `undefined` before it was measured. */
  readonly rttMs: number | undefined;
  /** Whether messages go over it. */
  readonly isUsed: boolean;
  /** Whether it is being asked if it is alive: after a change of the uplink, or a sleep. */
  readonly isInDoubt: boolean;
}

/** What is known of the ways to a peer. */
export interface PeerExplanation {
  readonly info: PeerInfo | undefined;
  /** Candidates and attempts; `undefined` for a peer that nobody has looked for. */
  readonly reach: ReachExplanation | undefined;
  /** The paths that are open, the one in use first: best by class (near, direct, virtual, relayed), then by round trip. */
  readonly paths: readonly MeasuredPath[];
  /** What the peer reported of its own side, the last time that it was asked. */
  readonly remote: ReachReport | undefined;
  /** What would help, as sentences; none while there is a direct path. */
  readonly help: readonly string[];
  /** The same as text for a terminal, without control characters. */
  readonly text: string;
}

/** A connection manager: messages by PeerID, over whatever path there is. */
export interface Peers extends SecureAskSwarm<PeerAddr>, Recheckable {
  readonly id: PeerId;
  /** What it stands on: own transports and those of the program, to look at. Their handlers belong to this object. */
  readonly transports: readonly { readonly name: string; readonly swarm: SecureSwarm<Addr> }[];
  /** The addresses that this node tells others, with the name of their transport. */
  readonly addrs: readonly string[];
  /**
   * Connects to a peer, if it is not connected. Messages do the same by themselves.
   *
   * @throws {P2PError} (by rejection) `unreachable`, `refused`, `identity_mismatch`, `timeout` (default 30 s), `closed`.
   */
  connect(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerConnection>;
  /** Keeps a connection with a peer: it is dialled again whenever it is lost, with growing pauses, until `drop`. */
  maintain(peer: PeerId | PeerAddr): void;
  /**
   * Which paths to a peer may be used from now on; those that are open and are excluded end.
   *
   * @throws {TypeError} (at once) for what is no policy.
   */
  setPolicy(peer: PeerId | PeerAddr, policy: ReachPolicy): void;
  /** Ends `maintain` and the connection. */
  drop(peer: PeerId | PeerAddr): void;
  /**
   * The end of the start: `minPeers` are connected, or all sources have answered and all candidates were tried. It tells of each
   * candidate that was refused why. Never rejects.
   */
  readonly ready: Promise<BootstrapResult>;
  /** The node of the DHT, with `dht`. */
  readonly dht: Dht<PeerAddr> | undefined;
  /** Allow list, deny list and bans. A change applies to the connections that exist. */
  readonly lists: PeerLists;
  /**
   * Bans PeerIDs, IPs and prefixes, many at once: their connections end, and they are not dialled.
   *
   * @throws {TypeError} (at once) for a target that is none of these; nothing is banned then.
   */
  ban(targets: string | readonly string[], options?: BanOptions): void;
  /** Lifts bans. @returns how many there were */
  unban(targets: string | readonly string[]): number;
  /** This node as a relay for others, with `serveRelay`: who has a place, what was passed on, `update` for its budgets. */
  readonly relayed: RelayService<PeerAddr> | undefined;
  /** Places at relays, where this node is reached behind a NAT. */
  readonly reservations: readonly RelayReservation<PeerAddr>[];
  /** Adds an address that may lead to a peer, as a source does. */
  add(candidate: Candidate): void;
  /** Whether peers that look for anybody to begin with are admitted; it can be changed at any time. */
  acceptBootstrap: boolean;
  /** The layers of this node with limits, fill levels and counters, as plain data; the same as `inspect(peers)`. */
  inspect(): Inspection;
  /** All peers that are connected, or that somebody waits for. */
  list(): readonly PeerInfo[];
  /**
   * What happens to peers, from now on. The first call begins with the faults (at most 16) since the opening, such as a cache file that
   * is corrupt or in use by another process: nobody could hear of them before.
   */
  changes(): PeerChanges;
  /** Why a peer is connected as it is, or not at all. */
  explain(peer: PeerId | PeerAddr): PeerExplanation;
  /**
   * The same, with the peer's own report of its attempts, which it is asked for: by whatever path there is, such as a relay.
   *
   * @throws {TypeError | RangeError} (at once) for what is no PeerID, and for options out of bounds.
   * @throws {P2PError} (by rejection) as `ask`.
   */
  explainBoth(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerExplanation>;
  /**
   * Opens a stream: ordered bytes both ways. The peer sees it with its first bytes.
   *
   * @throws {P2PError} (by rejection) as `connect`; `limit_exceeded` when 256 are open.
   */
  openStream(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerStream>;
  /**
   * Takes the streams that peers open, until disposed; without a handler they are reset. One handler at a time.
   *
   * @throws {TypeError} (at once) when a handler is already attached.
   */
  onStream(handler: (stream: PeerStream) => void | Promise<void>): Disposable;
}
