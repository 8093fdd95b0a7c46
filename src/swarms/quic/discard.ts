/** The rest of a stream of which everything that counts was read. */

import { type QuicStream } from '../../protocols/quic/stream.ts';
import { CODE } from './codes.ts';

/** Reads what is of no use, up to the end that frees the stream; more than an end is a fault. */
export function discard(stream: QuicStream): void {
  if (stream.read(1) !== undefined) stream.stop(CODE.MALFORMED);
}
