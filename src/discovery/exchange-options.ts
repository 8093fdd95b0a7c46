/** The options and the interface of a peer exchange. */

import type { Addr } from '../core/addr.ts';
import type { Candidate, CandidateSource, FailedCandidate, ReachedCandidate } from '../core/candidate.ts';
import type { Counters } from '../core/counters.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { Signer } from '../identity/key-algorithm.ts';
import type { PeerBookOptions } from './peer-book.ts';
import type { PeerRecord } from './peer-record.ts';

/** Options of an exchange. */
export interface PeerExchangeOptions<A extends Addr = Addr> extends PeerBookOptions {
  /** The key in the swarm's own addresses; it signs this node's record. */
  readonly privateKey: Signer;
  /**
   * A client cannot be dialled by others: its record has no addresses, so nobody can hand them on. @default 'node'
   */
  readonly kind?: 'node' | 'client' | undefined;
  /**
   * Whether this node may know a peer by hearsay, for deny lists. Asked when a record comes, and again whenever it is used, so
   * that lists may change. Only `true` is a yes. @default every peer
   */
  readonly mayKeep?: ((peer: PeerId) => boolean) | undefined;
  /**
   * Whether a peer may be handed on, and to whom: for allow lists, and for clients, which nobody can dial. `to` is absent
   * where askers are not authenticated. Only `true` is a yes.
   * @default every peer of which an address was reached
   */
  readonly mayHandOn?: ((peer: PeerId, to: PeerId | undefined) => boolean) | undefined;
  /**
   * Whether this node knows that an address in a peer's own record leads to it, as a relay knows of the peers that have a place there:
   * the address is handed on then. Only `true` is a yes. @default addresses that were reached
   */
  readonly leadsThere?: ((peer: PeerId, addr: string) => boolean) | undefined;
  /**
   * The address texts under which others reach this node, best first; the first `MAX_RECORD_ADDRS` are sent.
   * @default those of the swarm
   */
  readonly addrs?: (() => readonly string[]) | undefined;
  /** How long this node's record is valid; it is signed again after half of that. @default 600_000, ten minutes */
  readonly lifetimeMs?: number | undefined;
  /** Bytes of the largest answer that is sent or accepted. @default 65_536 */
  readonly maxAnswerBytes?: number | undefined;
  /**
   * The interval of periodic exchanges with {@link PeerExchangeOptions.fanOut} known peers, the one heard of last and
   * random ones: a node that knows one peer then learns of all, and 200 nodes learn of a new one in 7 rounds. Starts when the first peer is known; keeps neither the process nor a virtual clock
   * running.
   * @default never
   */
  readonly everyMs?: number | undefined;
  /** Peers asked in each round of the periodic exchange. @default 3 */
  readonly fanOut?: number | undefined;
  /** Unverified addresses tried per IP and minute, except those of this machine. @default 8 */
  readonly maxProbesPerIp?: number | undefined;
  /** Unverified addresses tried per minute in total. @default 256 */
  readonly maxProbes?: number | undefined;
  /**
   * Finds out with one small packet whether anything answers at an address that nobody has reached; the periodic
   * exchange sends nothing more there before it resolves to `true`. `probeTcp` of `shoal/net` is one, and for datagrams
   * `observing(…).observe(addr.inner, { repeat: false })` of `shoal/nat`. A probe has five seconds.
   * @default none: the exchange itself is the probe, as small as the first message of the swarm's handshake
   */
  readonly probe?: ((addr: A) => Promise<boolean>) | undefined;
  /** Called when a peer is seen for the first time, when it has a newer record, and when it has left (`withdrawn`). */
  readonly onRecord?: ((record: PeerRecord) => void) | undefined;
  /**
   * Called when a peer's clock differs from the local one by a minute or more: records then count as expired or from
   * the future.
   *
   * @param differenceMs - positive when the other clock is ahead.
   */
  readonly onClockDiffers?: ((peer: PeerId | undefined, differenceMs: number) => void) | undefined;
  /**
   * Called when another process signs records with this node's key, at most once a minute: the key is in use on two
   * machines. Peers then contact the one that signed last.
   */
  readonly onKeyElsewhere?: ((record: PeerRecord) => void) | undefined;
}

/** One node's participation in peer exchange. */
export interface PeerExchange<A extends Addr> extends CandidateSource, Disposable {
  /** This node's own record, signed again when its addresses change or half of its lifetime has passed. */
  readonly own: PeerRecord;
  /** The valid records of other peers. */
  readonly records: readonly PeerRecord[];
  readonly counters: Counters;
  /** The record of one peer. */
  record(id: PeerId): PeerRecord | undefined;
  /**
   * The addresses to try for a peer now, best first; without a peer, one address each of up to 16 random peers. A call
   * counts as a try: an unverified address is returned once per record, one that worked before is returned again after a pause. Excluded
   * are addresses that this swarm cannot parse, that do not name a single host, that have a well-known port, that are
   * in a private network without this node, and those beyond the probe limits.
   */
  candidates(id?: PeerId): readonly Candidate[];
  /**
   * Reports that an address led to its peer: with a proof that it can be dialled it may be passed on, and is tried
   * first. Sources of exchanges are noted automatically, and so are the addresses of peers that answer to the first
   * message to them: a peer that is connected answers over its connection, whatever address was asked.
   */
  reached(outcome: ReachedCandidate): void;
  /** Reports that an address failed. Where another peer answered, the address may still be tried for its own peer. */
  failed(outcome: FailedCandidate): void;
  /**
   * Removes a peer, for example one that does not answer. It returns with a newer record, or when it contacts this
   * node.
   */
  forget(id: PeerId): boolean;
  /**
   * Sends a peer this node's record, and receives the records it knows. `dst` is an address or its text.
   *
   * @returns the new records.
   * @throws {P2PError} (by rejection) as `ask`; `refused` also when the answer cannot be decoded.
   */
  exchange(dst: A | string, options?: CallOptions): Promise<readonly PeerRecord[]>;
  /**
   * Announces that this node leaves: sends a signed withdrawal to up to {@link PeerExchangeOptions.fanOut} × 4 known
   * peers, which pass it on. Afterwards the exchange refuses all requests, as after disposal. Never rejects because of
   * peers that do not answer.
   */
  withdraw(options?: CallOptions): Promise<void>;
}
