/** What a hole puncher is: anything with these two calls can be one. */

import type { SocketAddress } from '../../base/ip.ts';
import type { Side } from '../../core/accept.ts';
import type { CallOptions } from '../../core/swarm.ts';
import type { RawConnection } from '../../net/network.ts';
import type { PunchOffer } from '../../protocols/punch/offer.ts';

/** How one side of a punch behaves. */
export interface PunchOptions extends CallOptions {
  /** Who of the two this is. The responder calls when it has sent its offer, the initiator when it has got that. */
  readonly side: Side;
  /** The round trip of the path over which the offers went, in milliseconds. @default 100 */
  readonly rttMs?: number | undefined;
  /** IPs that are known to be the peer's: only they get more than ten probes without an answer. @default none */
  readonly proven?: readonly string[] | undefined;
}

/** A way between two hosts that both sides know to work. */
export interface PunchedPath {
  /** Where the peer answers. What is sent there by the same socket, or the TCP connection, goes through. */
  readonly remote: SocketAddress;
  /** Of the path that was found. */
  readonly rttMs: number;
  /** What was sent to find it: datagrams, or connections that were tried. */
  readonly probes: number;
  /** Since the call. */
  readonly tookMs: number;
}

/** A connection that both sides have chosen. */
export interface PunchedConnection extends PunchedPath {
  /** Paused; nothing of the program's has been read from it. */
  readonly connection: RawConnection;
}

/** Makes two NATs let each other's hosts through. Both sides call `offer`, exchange the offers, and call `punch`. */
export interface Puncher<P extends PunchedPath = PunchedPath> extends AsyncDisposable {
  /**
   * Asks observers, with the socket that will punch. Without an answer of any of them it offers local addresses.
   *
   * @throws {P2PError} (by rejection) `unsupported` when it knows that punching is useless: others can dial this host; `closed`; the signal's reason.
   */
  offer(options?: CallOptions): Promise<PunchOffer>;
  /**
   * Sends probes until the peer is reached.
   *
   * @throws {P2PError} (by rejection) `timeout`, `unreachable` when nothing that was offered can be reached, `limit_exceeded` while another punch with random ports
   *   runs, and 20 s after it, `closed`; the signal's reason. The message says what was tried and why it failed.
   */
  punch(own: PunchOffer, theirs: PunchOffer, options: PunchOptions): Promise<P>;
}
