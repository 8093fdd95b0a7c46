/** The errors of calls that wait for a handshake that cannot be sent. */

import { P2PError, type P2PErrorCode } from '../../core/errors.ts';

/** System errors for destinations without a route; others may be transient. */
const NO_ROUTE: ReadonlySet<unknown> = new Set(['EACCES', 'EADDRNOTAVAIL', 'EHOSTUNREACH', 'EINVAL', 'ENETUNREACH']);

/** Whether an error of the swarm below means that it cannot send to a destination at all. */
export function isNoRoute(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NO_ROUTE.has(error.code);
}

/** The error of a call when the inner swarm does not take the handshake. */
export function handshakeError(what: string, cause: unknown, bytes: number): P2PError {
  const code: P2PErrorCode = P2PError.is(cause) ? cause.code : 'unreachable';
  const side = P2PError.is(cause) ? cause.side : 'local';
  const why = cause instanceof Error ? cause.message : 'the swarm below does not take it';
  const remedy = code === 'mtu_exceeded' && !why.includes('frag()') ? '; wrap the swarm below in frag()' : '';
  const size = bytes === 0 ? '' : ` of ${bytes} bytes`;
  const message = `Cannot ${what}: a handshake message${size} could not be sent: ${why}${remedy}`;
  return new P2PError(code, side, message, { cause, sent: 'no' });
}
