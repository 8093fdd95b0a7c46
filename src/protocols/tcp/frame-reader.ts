/** Splits a byte stream into frames. */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { MAX_FRAME_BYTES } from './constants.ts';
import { decodeFrame, type TcpFrame } from './frames.ts';

/** Bytes of the longest length. */
const MAX_LENGTH_BYTES = 3;

/** The pieces of a frame are joined at this number; only hostile peers send more. */
const MAX_PARTS = 64;

/** Bounded by one frame and the last pushed chunk: take all frames between two pushes. */
export class FrameReader {
  #bytes: Bytes = EMPTY_BYTES;
  #at = 0;
  /** The received pieces of a frame after `#bytes`: joined when all of it has arrived. */
  #parts: Bytes[] = [];
  #partBytes = 0;
  /** Bytes of the frame at `#at`, once its length is known. */
  #frameBytes = 0;

  /** Received bytes that are not part of a complete frame yet. */
  get pending(): number {
    return this.#bytes.length - this.#at + this.#partBytes;
  }

  /** Adds received bytes. `chunk` then belongs to the reader: frames are views of it. */
  push(chunk: Bytes): void {
    if (this.#at === this.#bytes.length) {
      this.#bytes = chunk;
      this.#at = 0;
      return;
    }
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    if (this.pending < this.#frameBytes && this.#parts.length < MAX_PARTS) return;
    this.#bytes = concatBytes(this.#bytes.subarray(this.#at), ...this.#parts);
    this.#at = 0;
    this.#parts = [];
    this.#partBytes = 0;
  }

  /** The next frame; `undefined` when more bytes are needed, `'malformed'` when no further frame is possible. */
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
    this.#frameBytes = end - this.#at;
    if (end > bytes.length) return undefined;
    const frame = decodeFrame(bytes, at, end);
    if (frame === undefined) return 'malformed';
    this.#at = end;
    this.#frameBytes = 0;
    if (end === bytes.length) {
      this.#bytes = EMPTY_BYTES;
      this.#at = 0;
    }
    return frame;
  }
}
