/** A message with where it came from, and where to answer. */

import { type ReceivedMessage } from './message.ts';
import { type SendStream, type StreamId } from './stream.ts';

/** A message that came on a stream of the peer's. */
export interface IncomingMessage<C> extends ReceivedMessage {
  /** Whose it is. */
  readonly connection: C;
  /** On which stream it came; those of one stream come in order. */
  readonly stream: StreamId;
  /** Where to answer; `undefined` when it came on a unidirectional stream. All messages of a stream share it. */
  readonly reply: SendStream | undefined;
}
