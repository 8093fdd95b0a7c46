/** Errors for operations that a node rejects. */

import { P2PError } from '../core/errors.ts';
import type { Admission, LimitReached } from './limits.ts';

export function selfError(addr: string): P2PError {
  return new P2PError('in_use', 'local', `Cannot connect to ${addr}: this node itself listens there`, { sent: 'no' });
}

export function takenError(addr: string): P2PError {
  const message = `Cannot connect to ${addr}: a connection exists, is being set up or is ending; try again later`;
  return new P2PError('in_use', 'local', message, { sent: 'no' });
}

/** Writing was not enabled when the connection was made. */
export function noWriterError(what: string, addr: string): P2PError {
  const message = `Cannot ${what} ${addr}: writing was not enabled when it connected`;
  return new P2PError('unsupported', 'local', message, { sent: 'no' });
}

/** A message that cannot be sent any more, or not yet. */
export function notConnectedError(addr: string, sent: 'no' | 'maybe' = 'no', cause?: unknown): P2PError {
  return new P2PError('disconnected', 'path', `Cannot send to ${addr}: not connected`, { sent, cause });
}

export function bannedError(addr: string): P2PError {
  return new P2PError('refused', 'local', `Cannot connect with ${addr}: its IP is banned`, { sent: 'no' });
}

/** `accept` has not accepted a peer. */
export function notAcceptedError(addr: string): P2PError {
  return new P2PError('refused', 'local', `Cannot connect with ${addr}: accept refused it`, { sent: 'no' });
}

/** A connection that was being set up was evicted in favour of one from a network with fewer connections. */
export function evictedError(addr: string): P2PError {
  const message = `Cannot set up ${addr}: its network uses most of maxConnecting, and a connection of another network replaces it`;
  return new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
}

export function limitError(what: string, reached: LimitReached, admission: Admission): P2PError {
  const limits = {
    max_connections: `${admission.maxConnections} connections, the limit is maxConnections`,
    max_connections_per_ip: `${admission.maxConnectionsPerIp} connections with that IP, the limit is maxConnectionsPerIp`,
    max_connecting: `${admission.maxConnecting} are being set up, the limit is maxConnecting`,
  };
  const message = `Cannot ${what}: there are ${limits[reached]}`;
  return new P2PError('limit_exceeded', 'local', message, { sent: 'no' });
}
