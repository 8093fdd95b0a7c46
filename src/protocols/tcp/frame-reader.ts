/** Cuts a byte stream into frames. */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../core/bytes.ts';
import { MAX_FRAME_BYTES } from './constants.ts';
import { decodeFrame, type TcpFrame } from './frames.ts';

/** Bytes of the longest length. */
const MAX_LENGTH_BYTES = 3;

/** Bounded by one frame and what was pushed last: take all frames between two pushes. */
export class FrameReader {
  #bytes: Bytes = EMPTY_BYTES;
  #at = 0;

  /** Bytes that have come and belong to no whole frame yet. */
  get pending(): number {
    return this.#bytes.length - this.#at;
  }

  /** Takes what has come. `chunk` is the reader's to keep: frames are views of it. */
  push(chunk: Bytes): void {
    const rest = this.#bytes.subarray(this.#at);
    this.#bytes = rest.length === 0 ? chunk : concatBytes(rest, chunk);
    this.#at = 0;
  }

  /** The next frame; `undefined` when more bytes are needed, `'malformed'` when there can be none any more. */
  next(): TcpFrame | 'malformed' | undefined {
    const bytes = this.#bytes;
    let at = this.#at;
    let length = 0;
    for (let i = 0, weight = 1; ; i++, weight *= 0x80) {
      if (i === MAX_LENGTH_BYTES) return 'malformed';
      if (at === bytes.length) return undefined;
      const byte = bytes[at++]!;
      length += (byte & 0x7f) * weight;
      if (byte < 0x80) break;
    }
    if (length === 0 || length > MAX_FRAME_BYTES) return 'malformed';
    const end = at + length;
    if (end > bytes.length) return undefined;
    const frame = decodeFrame(bytes, at, end);
    if (frame === undefined) return 'malformed';
    this.#at = end;
    if (end === bytes.length) {
      this.#bytes = EMPTY_BYTES;
      this.#at = 0;
    }
    return frame;
  }
}
