/** Cuts a byte stream into frames. */

import { type Bytes, concatBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { MAX_FRAME_BYTES } from './constants.ts';
import { decodeFrame, type TcpFrame } from './frames.ts';

/** Bytes of the longest length. */
const MAX_LENGTH_BYTES = 3;

/** A frame that comes in more pieces, which only a hostile peer's does, is joined in between. */
const MAX_PARTS = 64;

/** Bounded by one frame and what was pushed last: take all frames between two pushes. */
export class FrameReader {
  #bytes: Bytes = EMPTY_BYTES;
  #at = 0;
  /** What has come of a frame behind `#bytes`: joined when all of it is there. */
  #parts: Bytes[] = [];
  #partBytes = 0;
  /** Bytes of the frame at `#at`, once its length is known. */
  #frameBytes = 0;

  /** Bytes that have come and belong to no whole frame yet. */
  get pending(): number {
    return this.#bytes.length - this.#at + this.#partBytes;
  }

  /** Takes what has come. `chunk` is the reader's to keep: frames are views of it. */
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
