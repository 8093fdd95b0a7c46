/** Errors of calls on connections and streams that have ended. */

import { P2PError } from '../core/errors.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';
import { CLOSE_CODE, STREAM_CODE } from './codes.ts';
import type { ConnectionClosed } from './connection.ts';

/** How a connection ended, as the application sees it. */
export function closedOf(closed: QuicClosed): ConnectionClosed {
  const { by, code, reason, cause } = closed;
  const ordinary = code === CLOSE_CODE.NORMAL || code === CLOSE_CODE.REPLACED;
  const benign = by === 'local' || by === 'idle_timeout' || (by === 'peer' && ordinary);
  return cause === undefined ? { by, code, reason, benign } : { by, code, reason, benign, cause };
}

/** The `disconnected` error of a call on a connection that has ended. */
export function connectionError(what: string, closed: ConnectionClosed, sent: 'no' | 'maybe'): P2PError {
  const { by, code, reason } = closed;
  const side = by === 'local' ? 'local' : by === 'peer' || by === 'peer_transport' ? 'remote' : 'path';
  const why = `${by}${code === 0 ? '' : `, code ${code}`}${reason === '' ? '' : `: ${reason}`}`;
  return new P2PError('disconnected', side, `Cannot ${what}: the connection has ended (${why})`, {
    sent,
    cause: closed.cause,
  });
}

/** The error for a stream that the peer has stopped or reset with a code. */
export function streamError(what: string, code: number | undefined): P2PError {
  if (code === STREAM_CODE.OVERSIZE) {
    return new P2PError('mtu_exceeded', 'remote', `Cannot ${what}: the message is larger than the peer takes`);
  }
  if (code === STREAM_CODE.TIMEOUT) {
    return new P2PError(
      'timeout',
      'remote',
      `Cannot ${what}: the stream made no progress for longer than the peer waits`,
    );
  }
  if (code === STREAM_CODE.VERSION) {
    return new P2PError('unsupported', 'remote', `Cannot ${what}: the peer does not know this version of the framing`);
  }
  return new P2PError(
    'refused',
    'remote',
    `Cannot ${what}: the peer has stopped or reset the stream (code ${code ?? 0})`,
  );
}

/** The error of `connectToAny` when none of the addresses answered. */
export function noneAnswered(names: readonly string[], errors: readonly P2PError[]): P2PError {
  const cause = new AggregateError(errors, `None of ${names.length} addresses answered`);
  const reasons = errors.slice(0, 3).map(({ message }) => message);
  const more = errors.length > reasons.length ? `; and ${errors.length - reasons.length} more` : '';
  const why = `Cannot connect to any of ${names.length} addresses: ${reasons.join('; ')}${more}`;
  return new P2PError('unreachable', 'path', why, { sent: 'no', cause });
}
