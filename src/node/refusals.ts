/** The errors of what a node does not do. */

import { P2PError } from '../core/errors.ts';
import { type Admission, type LimitReached } from './limits.ts';

export function selfError(addr: string): P2PError {
  return new P2PError('in_use', 'local', `Cannot connect to ${addr}: this node itself listens there`, { sent: 'no' });
}

export function takenError(addr: string): P2PError {
  const message = `Cannot connect to ${addr}: there is a connection, or one is being made or ended; try again later`;
  return new P2PError('in_use', 'local', message, { sent: 'no' });
}

/** @param isOpen - whether the connection is up, and only lacks a writer. */
export function noWriter(what: string, addr: string, isOpen: boolean): P2PError {
  return isOpen
    ? new P2PError('unsupported', 'local', `Cannot ${what} of ${addr}: writing was not enabled when it connected`, {
        sent: 'no',
      })
    : new P2PError('disconnected', 'local', `Cannot ${what} of ${addr}: not connected`, { sent: 'no' });
}

/** What {@link bannedError} has made. */
const bans = new WeakSet<P2PError>();

export function bannedError(addr: string): P2PError {
  const error = new P2PError('refused', 'local', `Cannot connect with ${addr}: its IP is banned`, { sent: 'no' });
  bans.add(error);
  return error;
}

/** Whether it says that an IP is banned, and no handshake that refused. */
export function isBan(error: unknown): boolean {
  return error instanceof P2PError && bans.has(error);
}

/** A connection that was being set up made room for one from a network that had fewer. */
export function evictedError(addr: string): P2PError {
  const message = `Cannot go on with ${addr}: its network takes most of maxConnecting, and another one needs a place`;
  return new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
}

export function limitError(what: string, reached: LimitReached, admission: Admission): P2PError {
  const limits = {
    max_connections: `${admission.maxConnections} connections, the limit is maxConnections`,
    max_connections_per_ip: `${admission.maxConnectionsPerIp} connections with that IP, the limit is maxConnectionsPerIp`,
    max_connecting: `${admission.maxConnecting} are being made, the limit is maxConnecting`,
  };
  const message = `Cannot ${what}: there are ${limits[reached]}`;
  return new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
}
