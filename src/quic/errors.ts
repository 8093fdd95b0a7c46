/** The errors of calls whose connection ended. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import { ALERT } from '../protocols/quic/endpoint-options.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';

/** Why a dial came to nothing, for its callers; nothing of theirs was sent. */
export function dialError(addr: Pick<Addr, 'text'>, closed: QuicClosed, found: PeerId | undefined): P2PError {
  const cause = { sent: 'no', cause: closed.cause } as const;
  const cannot = `Cannot reach ${addr.text}: `;
  if (found !== undefined) {
    return new P2PError('identity_mismatch', 'remote', `${cannot}there is ${found} instead`, cause);
  }
  switch (closed.by) {
    case 'handshake_timeout':
    case 'idle_timeout':
      return new P2PError('unreachable', 'path', `${cannot}no answer (${closed.reason || closed.by})`, cause);
    case 'peer_transport':
    case 'peer':
      return new P2PError('refused', 'remote', `${cannot}refused (${closed.reason || `code ${closed.code}`})`, cause);
    case 'local_transport':
      return new P2PError('refused', 'local', `${cannot}${closed.reason}`, cause);
    case 'local':
      return new P2PError('closed', 'local', `${cannot}closed`, cause);
    case 'engine_failure':
    case 'stateless_reset':
    case 'version':
      break;
  }
  return new P2PError('unreachable', 'path', `${cannot}${closed.reason || closed.by}`, cause);
}

/**
 * Why a message on a connection that was there came to nothing.
 *
 * @param refusedCode - the application code with which a peer closes that does not accept us.
 */
export function sessionError(
  peer: PeerId,
  closed: QuicClosed,
  sent: 'no' | 'maybe',
  refusedCode: number | undefined,
): P2PError {
  // The responder judges when the handshake is over on our side (RFC 8446 §4.4.2): nothing was delivered then.
  const refusedInHandshake = closed.by === 'peer_transport' && closed.alert === ALERT.ACCESS_DENIED;
  if (refusedInHandshake || (closed.by === 'peer' && closed.code === refusedCode)) {
    const cause = { sent: refusedInHandshake ? 'no' : sent, cause: closed.cause } as const;
    return new P2PError('refused', 'remote', `Cannot reach ${peer}: it has refused this node`, cause);
  }
  const why = `the connection ended (${closed.by}${closed.reason === '' ? '' : `: ${closed.reason}`})`;
  const side = closed.by === 'peer' || closed.by === 'peer_transport' ? 'remote' : 'path';
  return new P2PError('disconnected', side, `Cannot reach ${peer}: ${why}`, { sent, cause: closed.cause });
}
