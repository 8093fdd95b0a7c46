/** What goes into a peer exchange and what comes out of it. */

import { type Addr } from '../core/addr.ts';
import { type Candidate } from '../core/candidate.ts';
import { type Counters } from '../core/counters.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type Signer } from '../identity/key-algorithm.ts';
import { type PeerBookOptions } from './peer-book.ts';
import { type PeerRecord } from './peer-record.ts';

/** How an exchange is made. */
export interface PeerExchangeOptions extends PeerBookOptions {
  /** The key that the swarm's own addresses hold; it signs this node's record. */
  readonly privateKey: Signer;
  /**
   * The address texts under which others reach this node, best first; the first `MAX_RECORD_ADDRS` are told.
   * @default those of the swarm
   */
  readonly addrs?: (() => readonly string[]) | undefined;
  /** How long this node's word holds good; it is signed anew at half of that. @default 600_000, ten minutes */
  readonly lifetimeMs?: number | undefined;
  /** Bytes of the largest answer that is given and taken. @default 65_536 */
  readonly maxAnswerBytes?: number | undefined;
  /**
   * Exchanges by itself so often, with {@link PeerExchangeOptions.fanOut} of the peers known, chosen at random: who knows one
   * gets to know all. Starts when the first peer is known; keeps neither the process nor a virtual clock running.
   * @default never
   */
  readonly everyMs?: number | undefined;
  /** Peers asked in each round of the periodic exchange. @default 3 */
  readonly fanOut?: number | undefined;
  /** Unproven addresses tried at one IP in a minute, those of this machine apart. @default 8 */
  readonly maxProbesPerIp?: number | undefined;
  /** Unproven addresses tried in a minute in all. @default 256 */
  readonly maxProbes?: number | undefined;
  /** Called when a peer is heard of for the first time, when it has a newer record, and when it has left (`withdrawn`). */
  readonly onRecord?: ((record: PeerRecord) => void) | undefined;
  /**
   * Called when a peer's clock differs from ours by a minute or more: records are then taken for expired or from the future.
   *
   * @param differenceMs - positive when the other clock is ahead.
   */
  readonly onClockDiffers?: ((peer: PeerId | undefined, differenceMs: number) => void) | undefined;
  /**
   * Called when somebody else signs records with our key, at most once a minute: the key is in use on two machines. Peers then
   * go to the one that signed last, in turns.
   */
  readonly onKeyElsewhere?: ((record: PeerRecord) => void) | undefined;
}

/** One node's part in peer exchange. */
export interface PeerExchange<A extends Addr> extends Disposable {
  /** This node's own record, signed anew where it has moved or the old one is at half its life. */
  readonly own: PeerRecord;
  /** What is known of others and holds good. */
  readonly records: readonly PeerRecord[];
  readonly counters: Counters;
  /** What is known of one peer. */
  record(id: PeerId): PeerRecord | undefined;
  /**
   * Where to try a peer now, best first: an address source for `peerSwarm`. Asking counts as trying: an address that nobody
   * has proven comes once for each record, one that worked before comes again after a pause. Addresses that this swarm
   * cannot read, that name no single host, a well-known port or a private network that we are not in, and those beyond the
   * bounds on probes are left out.
   */
  candidates(id: PeerId): readonly Candidate[];
  /** Says that an address led to its peer: it may be handed on, and is tried first. Sources of exchanges are noted by themselves. */
  noteReached(addr: A): void;
  /** Forgets a peer, one that does not answer for example. It comes back with a newer record, or when it speaks itself. */
  forget(id: PeerId): boolean;
  /**
   * Tells a peer who and where we are, and learns whom it knows.
   *
   * @returns the records that were new.
   * @throws {P2PError} (by rejection) as `ask`; `refused` also when the peer answers nothing that can be read.
   */
  exchange(dst: A, options?: CallOptions): Promise<readonly PeerRecord[]>;
  /**
   * Says goodbye: tells up to {@link PeerExchangeOptions.fanOut} × 4 known peers by a signed record that this node has left, which they
   * hand on. Afterwards the exchange answers nobody, as after disposal. Never rejects because of peers that do not answer.
   */
  withdraw(options?: CallOptions): Promise<void>;
}
