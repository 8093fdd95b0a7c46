/** Options and results of LAN discovery. */

import type { CandidateOptions, Candidate, CandidateSource } from '../core/candidate.ts';
import type { Counters } from '../core/counters.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { PrivateKey } from '../identity/private-key.ts';
import type { Network } from '../net/network.ts';
import type { LanPeer } from '../protocols/beacon/lan-peers.ts';

/** How a node takes part in LAN discovery. */
export interface LanOptions {
  /** The node's key, which signs what it announces. */
  readonly privateKey: PrivateKey;
  /**
   * Only nodes with the same name see each other; nodes that do not know it cannot read what is sent. 1 to 255 bytes of
   * UTF-8.
   */
  readonly networkName: string;
  /**
   * The node's addresses as text, best first: those of `swarm.localAddrs()`. A function is called for every announcement.
   * Announced on an interface are those with an IP of that interface, at most 16; `0.0.0.0` and `[::]` stand for all of its
   * IPs. Without any the node asks and is not announced.
   */
  readonly addrs: readonly string[] | (() => readonly string[]);
  /**
   * The UDP port of queries; 0: any, see {@link Lan.port}. Several nodes of one host share it.
   * @default 5483, as crust; its later versions have 5484
   */
  readonly port?: number | undefined;
  /**
   * An IPv4 broadcast address that is used instead of those of the interfaces, and instead of IPv6: `127.255.255.255`
   * reaches the nodes of this machine only.
   * @default the broadcast addresses of all interfaces
   */
  readonly broadcast?: string | undefined;
  /** The names of the interfaces to use. @default all but loopback interfaces */
  readonly interfaces?: readonly string[] | undefined;
  /** Whether IPv6 multicast is used beside IPv4 broadcast. @default true */
  readonly ipv6?: boolean | undefined;
  /**
   * Whether multicast DNS is used as well: the node announces `_shoal._udp.local` and looks for others, which other programs see
   * (avahi-browse, for example). Shows to everybody on the LAN that there is a node, its IPs and a port; who it is, is sealed.
   * @default false
   */
  readonly mdns?: boolean | undefined;
  /** Whether queries of others are answered; see {@link Lan.setAnswering}. @default true */
  readonly answer?: boolean | undefined;
  /** Peers that are remembered, with a share for each host. @default 1024 */
  readonly maxPeers?: number | undefined;
  /** Called when a peer is heard for the first time, and when its addresses have changed. */
  readonly onPeer?: ((peer: LanPeer) => void) | undefined;
  /** Called when another process announces itself with this node's key, at most once a minute; `ip` is its host. */
  readonly onKeyElsewhere?: ((ip: string) => void) | undefined;
  /** @default the sockets of this machine */
  readonly network?: Network | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
  /** Aborts opening. */
  readonly signal?: AbortSignal | undefined;
}

/** LAN discovery of one node: a source of candidates. */
export interface Lan extends CandidateSource, AsyncDisposable {
  /** The UDP port of queries. */
  readonly port: number;
  /** The peers heard in the last three minutes. */
  readonly peers: readonly LanPeer[];
  /** Whether there are any. */
  readonly hasPeers: boolean;
  /** Datagrams; drops are explained in docs/lan.md. */
  readonly counters: Counters;
  /**
   * The addresses of peers that are known, then those that are heard; asks at once.
   *
   * @param id - of this peer only. @default of all peers
   * @param options - without a signal it ends after two seconds, time for three queries.
   */
  candidates(id?: PeerId, options?: CandidateOptions): AsyncIterable<Candidate>;
  /** Asks now who is there, for example when the own addresses have changed: the query announces them. */
  query(): void;
  /** Whether queries of others are answered from now on. A query of one's own announces this node nevertheless. */
  setAnswering(answering: boolean): void;
  /** Idempotent; never rejects. */
  close(): Promise<void>;
}
