/** Messages on their way out, checked and in bytes. */

import { mtuError, P2PError } from '../core/errors.ts';
import { wholeNumber } from '../base/checks.ts';
import { type CallOptions } from '../core/swarm.ts';
import { checkCall } from '../runtime/waits.ts';
import { encodeMessage, type Framing, PREFACE } from '../protocols/endpoint/frame.ts';
import { Sending } from '../quic/sending.ts';
import { type OutgoingMessage, partsOf } from './message.ts';

/** A message to write. */
export interface Prepared {
  readonly sending: Sending;
  /** Its three parts together, in bytes. */
  readonly size: number;
  readonly payloadBytes: number;
  readonly priority: number;
}

/** What a message must fit. */
export interface Fitting {
  readonly framing: Framing;
  readonly limits: { readonly maxMessageBytes: number; readonly maxQueuedMessages: number };
}

/** @throws {TypeError | RangeError} when it is not a whole number of 32 bits. */
export function priorityOf(priority: number | undefined): number {
  return wholeNumber(priority, 'priority', 0, -(2 ** 31), 2 ** 31 - 1);
}

/** A message for a stream of its own. @throws {TypeError | RangeError} for what is no message, and for wrong options. */
export function prepareMessage(
  { framing }: Fitting,
  message: OutgoingMessage,
  options: (CallOptions & { readonly priority?: number | undefined }) | undefined,
): Prepared {
  const parts = partsOf(message);
  checkCall(options);
  const priority = priorityOf(options?.priority);
  const payloadBytes = parts.payload.length;
  const size = parts.header.length + parts.dst.length + payloadBytes;
  const sending = new Sending(encodeMessage(framing, parts, framing.prefaced ? PREFACE.MESSAGES : undefined));
  return { sending, size, payloadBytes, priority };
}

/** Why a message is not sent, if so. */
export function refusal(
  { framing, limits }: Fitting,
  { size, payloadBytes }: Prepared,
  full: boolean,
  what: () => string,
): P2PError | undefined {
  const { maxMessageBytes, maxQueuedMessages } = limits;
  if (size > maxMessageBytes) {
    return mtuError(what(), size, maxMessageBytes, 'raise maxMessageBytes, or write a stream');
  }
  const refuse = (code: 'unsupported' | 'limit_exceeded', why: string): P2PError =>
    new P2PError(code, 'local', `Cannot ${what()}: ${why}`, { sent: 'no' });
  if (framing.single && payloadBytes === 0) return refuse('unsupported', 'qp2p takes no empty payload');
  return full ? refuse('limit_exceeded', `${maxQueuedMessages} messages wait already; await some`) : undefined;
}
