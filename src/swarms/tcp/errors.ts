/** How the ends of connections look to those who wanted something of them. */

import { P2PError } from '../../core/errors.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { BYE } from '../../protocols/tcp/constants.ts';
import { type TcpClosed } from '../../protocols/tcp/events.ts';
import { type TcpAddr } from './address.ts';

/** Somebody else is there, or the peer that was dialled and that our own `accept` refused. */
export function foundError(addr: TcpAddr, found: PeerId): P2PError {
  if (found === addr.id) {
    return new P2PError('refused', 'local', `Cannot reach ${addr.text}: accept refused it`, { sent: 'no' });
  }
  const message = `Cannot reach ${addr.text}: there is ${found} instead`;
  return new P2PError('identity_mismatch', 'remote', message, { sent: 'no' });
}

/** Why a dial came to nothing, for its callers; nothing of theirs was sent. */
export function dialError(addr: TcpAddr, cause: unknown): P2PError {
  const cannot = `Cannot reach ${addr.text}: `;
  if (!P2PError.is(cause)) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new P2PError('unreachable', 'path', cannot + why, { sent: 'no', cause });
  }
  // The node says of a peer that went away in the handshake that it is disconnected: it did not want us.
  const code = cause.code === 'disconnected' ? 'refused' : cause.code;
  return new P2PError(code, cause.side, cannot + cause.message, { sent: 'no', cause });
}

/** What the end of a connection on which nothing had been said yet means to who dialled. */
export function helloError(addr: TcpAddr, { by, reason }: TcpClosed): P2PError {
  const cannot = `Cannot reach ${addr.text}: `;
  if (by === 'timeout') return new P2PError('unreachable', 'path', `${cannot}no answer (${reason})`, { sent: 'no' });
  if (by === 'local') return new P2PError('closed', 'local', `${cannot}closed`, { sent: 'no' });
  if (by === 'fault') {
    return new P2PError('unsupported', 'remote', `${cannot}there is another protocol (${reason})`, { sent: 'no' });
  }
  return new P2PError('refused', 'remote', `${cannot}refused (${reason})`, { sent: 'no' });
}

/** Why a message on a connection that was there came to nothing. */
export function sessionError(peer: PeerId, closed: TcpClosed, sent: 'no' | 'maybe'): P2PError {
  const { by, reason, code } = closed;
  const side = by === 'peer' ? 'remote' : by === 'local' && code === BYE.CLOSED ? 'local' : 'path';
  const why = `the connection ended (${by}${reason === '' ? '' : `: ${reason}`})`;
  return new P2PError('disconnected', side, `Cannot reach ${peer}: ${why}`, { sent });
}
