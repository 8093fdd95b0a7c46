/** What the sockets of a virtual host need of it. */

import type { DropReason } from '../../core/counters.ts';
import type { ClockedRealm } from '../../core/realm.ts';
import type { Packet, PacketAddr } from './packet.ts';
import type { Routes } from './routes.ts';
import type { Attachment } from './segment.ts';
import type { Wire } from './wire.ts';

export interface SocketHost {
  readonly wire: Wire;
  /** With the time of the host, which stands still while it sleeps. */
  readonly realm: ClockedRealm;
  readonly routes: Routes;
  /** The ephemeral port that was given out last. */
  lastPort: number;
  /** Whether a socket may be bound to the address. */
  canBind(ip: string): boolean;
  /** Whether the address is the broadcast address of a LAN of the host. */
  isBroadcast(dst: PacketAddr): boolean;
  /** @param via - by which interface; `undefined`: to the host itself. */
  send(packet: Packet, via: Attachment | undefined): void;
  /** The same to a multicast group or a broadcast address: sockets of the host get it as well. */
  sendToMany(packet: Packet, via: Attachment | undefined): void;
  /** Counts a packet that was for this host and that no socket got. */
  drop(packet: Packet, reason: DropReason): void;
  /** Counts a packet that a socket got. */
  received(packet: Packet): void;
}
