/** Converts the end of a connection into errors for its callers. */

import { P2PError } from '../../core/errors.ts';
import type { PeerId } from '../../core/peer-id.ts';
import { BYE } from '../../protocols/tcp/constants.ts';
import type { TcpClosed } from '../../protocols/tcp/events.ts';
import type { KeyedAddr } from '../../sessions/peer-sessions.ts';

/** A different peer answered, or the dialled peer was refused by this side's `accept`. @param name - the text of `found` */
export function foundError(addr: KeyedAddr, found: PeerId, name: string): P2PError {
  if (found === addr.id) {
    return new P2PError('refused', 'local', `Cannot reach ${addr.text}: accept refused it`, { sent: 'no' });
  }
  const message = `Cannot reach ${addr.text}: ${name} answered instead`;
  return new P2PError('identity_mismatch', 'remote', message, { sent: 'no' });
}

/** The error of a failed dial, for its callers; none of their messages was sent. */
export function dialError(addr: KeyedAddr, cause: unknown): P2PError {
  const cannot = `Cannot reach ${addr.text}: `;
  if (!P2PError.is(cause)) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new P2PError('unreachable', 'path', cannot + why, { sent: 'no', cause });
  }
  // The node reports a peer that disconnected during the handshake as `disconnected`: the peer refused this node.
  const code = cause.code === 'disconnected' ? 'refused' : cause.code;
  return new P2PError(code, cause.side, cannot + cause.message, { sent: 'no', cause });
}

/** The error for the dialling side when a connection ends before the hello. */
export function helloError(addr: KeyedAddr, { by, reason }: TcpClosed): P2PError {
  const cannot = `Cannot reach ${addr.text}: `;
  if (by === 'timeout') return new P2PError('unreachable', 'path', `${cannot}no answer (${reason})`, { sent: 'no' });
  if (by === 'local') return new P2PError('closed', 'local', `${cannot}closed`, { sent: 'no' });
  if (by === 'fault') {
    return new P2PError('unsupported', 'remote', `${cannot}the peer uses another protocol (${reason})`, { sent: 'no' });
  }
  return new P2PError('refused', 'remote', `${cannot}refused (${reason})`, { sent: 'no' });
}

/** The error of a message on an established connection that ended. */
export function sessionError(peer: PeerId, closed: TcpClosed, sent: 'no' | 'maybe'): P2PError {
  const { by, reason, code } = closed;
  const side = by === 'peer' ? 'remote' : by === 'local' && code === BYE.CLOSED ? 'local' : 'path';
  const why = `the connection ended (${by}${reason === '' ? '' : `: ${reason}`})`;
  return new P2PError('disconnected', side, `Cannot reach ${peer}: ${why}`, { sent });
}
