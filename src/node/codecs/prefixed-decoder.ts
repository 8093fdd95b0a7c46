/** Frames that begin with their length: the common part of length-delimited and varint-delimited decoders. */

import { type Bytes, EMPTY_BYTES, takeBytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { decodeReason } from '../../base/reason.ts';
import type { Decoder } from '../codec.ts';

/** A decoded prefix. One shared object, overwritten by each read. */
export interface Prefix {
  /** Of the frame that follows. */
  length: number;
  /** Of the prefix itself; 0: it is incomplete. */
  bytes: number;
}

/** The format of prefixes. */
export interface PrefixFormat {
  /** The maximum bytes of a prefix. */
  readonly maxPrefixBytes: number;
  /** Reads a prefix that begins at `at`, within `end`. Throws when it is invalid. */
  readonly read: (bytes: Uint8Array, at: number, end: number, into: Prefix) => void;
  readonly maxFrameBytes: number;
  /** The length that announces a reason, which follows as a frame. @default none does */
  readonly reasonLength: number | undefined;
}

/** A frame is collected in a buffer that grows with the received bytes; this much is allocated in advance. */
const CREDIT_BYTES = 131_072;
/** The minimum of missing bytes for which a frame is read directly into its buffer. */
const SPACE_BYTES = 16_384;
/** Longer reasons are truncated. */
const MAX_REASON_BYTES = 1024;

/** Extracts complete frames from chunks; a frame in several chunks is copied once. */
export class PrefixedDecoder implements Decoder<Bytes> {
  readonly #format: PrefixFormat;
  readonly #prefix: Prefix = { length: 0, bytes: 0 };
  /** The last chunk; bytes from `#at` on are not returned yet. */
  #chunk: Bytes = EMPTY_BYTES;
  #at = 0;
  /** A partly received frame: its first `#gathered` bytes. Bounded by maxFrameBytes. */
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
      // The rest is part of a prefix, unless the caller pushes without calling `next`.
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

  /** Returns the next frame when the chunk contains all of it; else begins to collect it. */
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

  /** Enlarges the buffer beyond what was allocated in advance. */
  #grow(needed: number): void {
    const frame = this.#frame!;
    const larger = unwritten(Math.min(this.#frameLength, Math.max(needed, frame.length * 2)));
    larger.set(frame.subarray(0, this.#gathered));
    this.#frame = larger;
  }

  /** Releases a used chunk, so that an idle connection holds none. */
  #rest(): undefined {
    if (this.#at === this.#chunk.length) {
      this.#chunk = EMPTY_BYTES;
      this.#at = 0;
    }
    return undefined;
  }
}

/** A buffer that is fully written before it is read, so it is not zeroed. */
function unwritten(length: number): Bytes {
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer, byteOffset, length);
}
