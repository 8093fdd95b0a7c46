/** Messages on their way out, checked and in bytes. */

import { mtuError, P2PError } from '../core/errors.ts';
import { wholeNumber } from '../base/checks.ts';
import type { CallOptions } from '../core/swarm.ts';
import { rejection } from '../runtime/promises.ts';
import { checkCall } from '../runtime/waits.ts';
import { Sending } from '../quic/sending.ts';
import type { OutgoingMessage } from './message.ts';
import type { StreamHooks } from './stream-hooks.ts';

/** A message to write. */
export interface Prepared {
  readonly sending: Sending;
  /** Its bytes: of three parts, those of all together. */
  readonly size: number;
  readonly priority: number;
}

/** @throws {TypeError | RangeError} when it is not a whole number of 32 bits. */
export function priorityOf(priority: number | undefined): number {
  return wholeNumber(priority, 'priority', 0, -(2 ** 31), 2 ** 31 - 1);
}

/**
 * A message for a stream of its own, or the rejection that says why nothing is sent.
 *
 * @throws {TypeError | RangeError} for what is no message, and for wrong options.
 */
export function prepareMessage<M>(
  { format, limits, sender, ended }: StreamHooks<M>,
  message: OutgoingMessage<M>,
  options: CallOptions | undefined,
  what: () => string,
): Prepared | Promise<never> {
  const { chunks, size, payloadBytes } = format.encode(message, true);
  checkCall(options);
  const priority = priorityOf(options?.priority);
  const over = ended(what, 'no');
  if (over !== undefined) return rejection(over);
  if (options?.signal?.aborted === true) return rejection(options.signal.reason);
  const { maxMessageBytes, maxQueuedMessages } = limits;
  if (size > maxMessageBytes) {
    return rejection(mtuError(what(), size, maxMessageBytes, 'raise maxMessageBytes, or write a stream'));
  }
  if (format.framing.single && payloadBytes === 0) return refused(what, 'unsupported', 'qp2p takes no empty payload');
  if (sender.full) return refused(what, 'limit_exceeded', `${maxQueuedMessages} messages wait already; await some`);
  return { sending: new Sending(chunks), size, priority };
}

function refused(what: () => string, code: 'unsupported' | 'limit_exceeded', why: string): Promise<never> {
  return rejection(new P2PError(code, 'local', `Cannot ${what()}: ${why}`, { sent: 'no' }));
}
