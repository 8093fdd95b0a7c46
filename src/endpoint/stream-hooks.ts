/** What streams, messages and requests need of their connection. */

import type { P2PError } from '../core/errors.ts';
import type { Waits } from '../runtime/waits.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import type { ConnectionLimits } from './connection-hooks.ts';
import type { MessageFormat } from './message-format.ts';
import type { Sender } from './sender.ts';
import type { StreamId } from './stream.ts';

/** How long a wait on a connection lasts unless the call says otherwise. */
export const STREAM_TIMEOUT_MS = 30_000;

export interface StreamHooks<M> {
  readonly connectionId: string;
  readonly format: MessageFormat<M>;
  readonly limits: ConnectionLimits;
  readonly waits: Waits;
  readonly sender: Sender;
  scheduleFlush(): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
  /** Counts a message, or a part of a stream of bytes: its first part counts as the message. */
  countSent(bytes: number, further?: boolean): void;
  countReceived(bytes: number, further?: boolean): void;
  /** Why nothing can be done on the connection any more, if so. */
  readonly ended: (what: () => string, sent: 'no' | 'maybe') => P2PError | undefined;
}

/** @returns the id in the words of both ends. */
export function streamIdOf(stream: QuicStream, connectionId: string): StreamId {
  const opener = stream.id % 2 === 0 ? 'initiator' : 'responder';
  const index = Math.floor(stream.id / 4);
  const { kind, id: number } = stream;
  return { opener, kind, index, number, text: `${opener} ${kind} stream ${index} of ${connectionId}` };
}

/** For a write whose caller waits for the acknowledgement, and gets errors there. */
export function ignore(): void {}
