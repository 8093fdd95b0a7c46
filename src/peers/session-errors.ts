/** Errors of calls, by what came of their messages. */

import type { Bytes } from '../base/bytes.ts';
import { mtuError, P2PError, Refusal } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import { REFUSAL_PLAIN, REFUSAL_TOO_LARGE } from '../protocols/peers/constants.ts';
import type { SessionClosed } from '../protocols/peers/session-events.ts';

/** An ask was refused. */
export function refusedError(
  peer: PeerId,
  code: number,
  payload: Bytes,
  asked: { readonly maxResponseBytes: number } | undefined,
): P2PError {
  const cannot = `Cannot ask ${peer}: `;
  if (code === REFUSAL_TOO_LARGE) {
    const what = `${cannot}the answer has more than ${asked?.maxResponseBytes ?? 0} bytes; raise maxResponseBytes`;
    return new P2PError('limit_exceeded', 'local', what);
  }
  const plain = code === REFUSAL_PLAIN && payload.length === 0;
  const cause = new Refusal('refused', payload.length === 0 ? undefined : payload, code);
  return new P2PError('refused', 'remote', `${cannot}refused${plain ? '' : ` with code ${code}`}`, { cause });
}

/** A message expired, or ended with its session. */
export function lostError(
  peer: PeerId,
  sent: 'no' | 'maybe',
  reason: 'expired' | 'ended',
  closed: SessionClosed | undefined,
): P2PError {
  if (reason === 'expired') {
    return new P2PError('timeout', 'local', `Cannot reach ${peer}: the message expired before it was sent`, { sent });
  }
  const { by, reason: why } = closed ?? { by: 'lost', reason: '' };
  const who = by === 'peer' ? 'the peer ended the session' : 'the session ended';
  return new P2PError('disconnected', by === 'local' ? 'local' : 'remote', `Cannot reach ${peer}: ${who}: ${why}`, {
    sent,
  });
}

/** Messages that may wait for one peer. */
const MAX_QUEUED_MESSAGES = 65_536;

/** Why a message is not taken: it is too large, or too much waits already. */
export function queueError(
  peer: PeerId,
  length: number,
  peerMaxBytes: number,
  { messages, bytes }: { readonly messages: number; readonly bytes: number },
  maxQueueBytes: number,
): P2PError | undefined {
  if (length > peerMaxBytes) return mtuError(`reach ${peer}`, length, peerMaxBytes);
  if (messages < MAX_QUEUED_MESSAGES && (messages === 0 || bytes + length <= maxQueueBytes)) return undefined;
  const what = `Cannot reach ${peer}: ${messages} messages, ${bytes} bytes, wait for it already`;
  return new P2PError('limit_exceeded', 'local', `${what}; await what was sent, or raise maxQueueBytes`, {
    sent: 'no',
  });
}
