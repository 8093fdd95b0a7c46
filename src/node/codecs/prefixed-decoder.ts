/** Frames that begin with their length: what length-delimited and varint-delimited decoders share. */

import { type Bytes, EMPTY_BYTES, takeBytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { decodeReason } from '../../base/reason.ts';
import { type Decoder } from '../codec.ts';

/** A prefix that was read. A shared object, overwritten by each reading. */
export interface Prefix {
  /** Of the frame behind it. */
  length: number;
  /** Of the prefix itself; 0: it is not whole yet. */
  bytes: number;
}

/** What frames begin with. */
export interface PrefixFormat {
  /** The most bytes of a prefix. */
  readonly maxPrefixBytes: number;
  /** Reads a prefix that begins at `at`, within `end`. Throws when it cannot be one. */
  readonly read: (bytes: Uint8Array, at: number, end: number, into: Prefix) => void;
  readonly maxFrameBytes: number;
  /** The length that says: a reason follows, as a frame. @default none does */
  readonly reasonLength: number | undefined;
}

/** A frame is gathered in a buffer that grows with what has really come; so much is given on credit. */
const CREDIT_BYTES = 131_072;
/** So much must be missing of a frame for it to be read to its place. */
const SPACE_BYTES = 16_384;
/** Longer reasons are cut. */
const MAX_REASON_BYTES = 1024;

/** Slices whole frames out of chunks; a frame in several chunks is copied once. */
export class PrefixedDecoder implements Decoder<Bytes> {
  readonly #format: PrefixFormat;
  readonly #prefix: Prefix = { length: 0, bytes: 0 };
  /** What came last, from `#at` on not given out. */
  #chunk: Bytes = EMPTY_BYTES;
  #at = 0;
  /** A frame that is larger than what has come of it: its first `#gathered` bytes. Bounded by maxFrameBytes. */
  #frame: Bytes | undefined;
  #frameLength = 0;
  #framePrefixBytes = 0;
  #gathered = 0;
  #isReason = false;
  #reason: string | undefined;

  constructor(format: PrefixFormat) {
    this.#format = format;
  }

  get bufferedBytes(): number {
    const ahead = this.#chunk.length - this.#at;
    return this.#frame === undefined ? ahead : ahead + this.#gathered + this.#framePrefixBytes;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  push(chunk: Bytes): void {
    const left = this.#chunk.length - this.#at;
    if (left === 0) {
      this.#chunk = chunk;
    } else {
      // What is left is part of a prefix, unless somebody pushes without taking.
      const joined = new Uint8Array(left + chunk.length);
      joined.set(this.#chunk.subarray(this.#at));
      joined.set(chunk, left);
      this.#chunk = joined;
    }
    this.#at = 0;
  }

  space(): Uint8Array | undefined {
    const frame = this.#frame;
    if (frame === undefined || this.#at < this.#chunk.length) return undefined;
    const missing = this.#frameLength - this.#gathered;
    if (missing < SPACE_BYTES) return undefined;
    if (this.#gathered === frame.length) this.#grow(this.#gathered + 1);
    return this.#frame!.subarray(this.#gathered);
  }

  filled(bytes: number): void {
    this.#gathered += bytes;
  }

  next(): Bytes | undefined {
    for (;;) {
      const frame = this.#frame === undefined ? this.#begin() : this.#gather();
      if (frame === undefined || !this.#isReason) return frame;
      this.#isReason = false;
      this.#reason = decodeReason(frame) ?? '';
    }
  }

  /** The next frame when all of it is in the chunk; else begins to gather it. */
  #begin(): Bytes | undefined {
    const chunk = this.#chunk;
    const end = chunk.length;
    let at = this.#at;
    if (at === end) return this.#rest();
    const prefix = this.#prefix;
    const { read, maxFrameBytes, reasonLength } = this.#format;
    read(chunk, at, end, prefix);
    if (prefix.bytes === 0) return undefined;
    let prefixBytes = prefix.bytes;
    let isReason = false;
    if (prefix.length === reasonLength) {
      at += prefix.bytes;
      read(chunk, at, end, prefix);
      if (prefix.bytes === 0) return undefined;
      isReason = true;
      prefixBytes += prefix.bytes;
    }
    const { length } = prefix;
    const limit = isReason ? MAX_REASON_BYTES : maxFrameBytes;
    if (length > limit) {
      const message = `Cannot read frame: it has ${length} bytes, the limit is ${limit} bytes`;
      throw new P2PError('limit_exceeded', 'remote', message);
    }
    this.#isReason = isReason;
    const from = at + prefix.bytes;
    if (from + length <= end) {
      this.#at = from + length;
      return takeBytes(chunk, from, from + length);
    }
    this.#frame = unwritten(Math.min(length, CREDIT_BYTES));
    this.#frameLength = length;
    this.#framePrefixBytes = prefixBytes;
    this.#gathered = 0;
    this.#at = from;
    return this.#gather();
  }

  #gather(): Bytes | undefined {
    const chunk = this.#chunk;
    const take = Math.min(chunk.length - this.#at, this.#frameLength - this.#gathered);
    const needed = this.#gathered + take;
    if (needed > this.#frame!.length) this.#grow(needed);
    const frame = this.#frame!;
    if (take > 0) frame.set(chunk.subarray(this.#at, this.#at + take), this.#gathered);
    this.#gathered = needed;
    this.#at += take;
    if (needed < this.#frameLength) return this.#rest();
    this.#frame = undefined;
    return frame;
  }

  /** Makes room for more of the frame than it was given on credit. */
  #grow(needed: number): void {
    const frame = this.#frame!;
    const larger = unwritten(Math.min(this.#frameLength, Math.max(needed, frame.length * 2)));
    larger.set(frame.subarray(0, this.#gathered));
    this.#frame = larger;
  }

  /** Lets go of a chunk that is used up, so that a quiet connection holds none. */
  #rest(): undefined {
    if (this.#at === this.#chunk.length) {
      this.#chunk = EMPTY_BYTES;
      this.#at = 0;
    }
    return undefined;
  }
}

/** A buffer that is written to its end before anybody sees it, so it need not be zeroed. */
function unwritten(length: number): Bytes {
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer, byteOffset, length);
}
