/** A message that has come, with its origin. */

import type { Bytes } from '../base/bytes.ts';
import type { Qp2pMessage } from './message.ts';
import type { SendStream, StreamId } from './stream.ts';

/**
 * A message that came on a stream of the peer's: `payload`, and with `preset: 'qp2p'` also `header` and `dst`. The bytes are the
 * receiver's to keep; they may be a view into a larger buffer, so never transfer it.
 *
 * @typeParam C - the connection.
 * @typeParam M - what comes: `Bytes`, or `Qp2pMessage`.
 */
export type IncomingMessage<C, M = Bytes> = (M extends Qp2pMessage ? M : { readonly payload: M }) & {
  /** The connection that it came on. */
  readonly connection: C;
  /** The stream that it came on; messages of one stream come in order. */
  readonly stream: StreamId;
  /** Where to answer; `undefined` when it came on a unidirectional stream. All messages of a stream share it. */
  readonly reply: SendStream<M> | undefined;
};
