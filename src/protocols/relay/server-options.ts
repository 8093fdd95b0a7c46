/** What a relay grants, and what it tells its driver. */

import type { Addr } from '../../core/addr.ts';
import type { DropReason } from '../../core/counters.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { SocketAddress } from '../../base/ip.ts';

/** The budgets of a relay; all of them are known. */
export interface ResolvedRelayBudgets {
  readonly maxPeers: number;
  readonly maxPeersPerSource: number;
  readonly maxMinutes: number;
  readonly maxGuests: number;
  readonly bytesPerSecond: number;
  readonly bytesPerSecondPerSource: number;
  readonly totalBytesPerSecond: number;
}

/** Who sent a message, as the swarm below has proven it. */
export interface RelaySource<A extends Addr> {
  readonly id: PeerId;
  readonly addr: A;
  /** Its IP, or another text that tells where it is. */
  readonly host: string;
  readonly observed: SocketAddress | undefined;
  /** The largest datagram that can be passed on to it. */
  readonly mtu: number;
}

/** A client as the relay knows it: with a reservation, or a guest. */
export interface RelayedPeer<A extends Addr> {
  readonly id: PeerId;
  /** Where its last message came from. */
  readonly addr: A;
  readonly sinceMs: Millis;
  /** When its reservation ends; 0 for a guest. */
  readonly untilMs: Millis;
  /** Payload bytes that it has sent through the relay. */
  readonly receivedBytes: number;
  /** Payload bytes that were passed on to it. */
  readonly sentBytes: number;
}

/** Bytes for a client. */
export interface RelayTransmit<A extends Addr> {
  readonly to: A;
  readonly bytes: Bytes;
  /** Whose datagram budget they count for; `undefined` for answers. */
  readonly peer: RelayedPeer<A> | undefined;
}

/** What a relay reports. */
export type RelayServerEvent<A extends Addr> =
  /** Whether this client may use the relay: answered by `handleVerdict`. */
  | { readonly type: 'judge'; readonly from: RelaySource<A> }
  /** `ended`: it was released, has run out, or was ended by the relay. */
  | { readonly type: 'reserved' | 'ended'; readonly id: PeerId }
  | { readonly type: 'relayed'; readonly bytes: number }
  | { readonly type: 'dropped'; readonly reason: DropReason };
