/** The rest of a stream after its message. */

import type { QuicStream } from '../../protocols/quic/stream.ts';
import { CODE } from './codes.ts';

/** Reads the end of a stream, which frees it. Data before the end is a fault. */
export function discard(stream: QuicStream): void {
  if (stream.read(1) !== undefined) stream.stop(CODE.MALFORMED);
}
