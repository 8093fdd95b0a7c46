/** Frames that begin with their length: the common part of length-delimited and varint-delimited decoders. */

import { type Bytes, EMPTY_BYTES, takeBytes, viewFrom } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { decodeReason } from '../../base/reason.ts';
import { SLAB_BYTES } from '../../net/pipe.ts';
import type { Decoder, DecoderOptions } from '../codec.ts';

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
/**
 * The minimum of missing bytes for which a frame is read directly into its buffer. For the rest of a frame that fits into a slab the socket
 * reads ahead: further ones come in the same read.
 */
const SPACE_BYTES = 16_384;
const SLAB_FRAME_SPACE_BYTES = 40_960;
/**
 * In a slab, frames from this size are handed out as views, and others are copied: a message that is kept holds at most 32 times its
 * bytes. Frames above the other size are collected in a buffer of their own.
 */
const MIN_VIEW_BYTES = 8192;
const MAX_SLAB_FRAME_BYTES = 65_536;
/** Longer reasons are truncated. */
const MAX_REASON_BYTES = 1024;

/**
 * Buffers for frames that are lent to a handler, for any connection: an idle one holds none. Like Node's own buffer pool it only affects
 * speed. Bounded by MAX_SPARE_FRAMES of MAX_SPARE_BYTES, 8 MiB.
 */
const spare: Bytes[] = [];
const MAX_SPARE_FRAMES = 4;
const MAX_SPARE_BYTES = 2_097_152;
/** What overwrites a lent message. */
const RETURNED = 0xdb;

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
  /** Where in the chunk the frame ends whose prefix was read last; beyond the chunk, when it is incomplete. */
  #frameEnd = 0;
  #framePrefixBytes = 0;
  #gathered = 0;
  #isReason = false;
  #reason: string | undefined;
  readonly #borrowed: boolean | 'checked';
  /** The message that the handler has, and its buffer if it is used again. */
  #lent: Bytes | undefined;
  #lentBuffer: Bytes | undefined;

  constructor(format: PrefixFormat, { borrowed = false }: DecoderOptions = {}) {
    this.#format = format;
    this.#borrowed = borrowed;
  }

  get bufferedBytes(): number {
    const ahead = this.#chunk.length - this.#at;
    return this.#frame === undefined ? ahead : ahead + this.#gathered + this.#framePrefixBytes;
  }

  get lends(): boolean {
    return this.#borrowed !== false;
  }

  /** A spare buffer counts as a whole. */
  get heldBytes(): number {
    const frame = this.#frame;
    if (frame === undefined || this.#borrowed === false) return this.bufferedBytes;
    return this.#chunk.length - this.#at + Math.max(this.#gathered, frame.length);
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  push(chunk: Bytes): void {
    const last = this.#chunk;
    const left = last.length - this.#at;
    if (left === 0) {
      this.#chunk = chunk;
    } else if (isSlab(last) && chunk.buffer === last.buffer && chunk.byteOffset === last.byteOffset + last.length) {
      this.#chunk = new Uint8Array(last.buffer, last.byteOffset + this.#at, left + chunk.length);
    } else if (this.#frame === undefined && isSlab(last) && this.#measure() && left < this.#frameEnd - this.#at) {
      // The beginning of a frame at the end of a slab.
      this.#collect();
      this.#gather();
      this.#chunk = chunk;
    } else {
      // The rest is part of a prefix, unless the caller pushes without calling `next`.
      const joined = new Uint8Array(left + chunk.length);
      joined.set(last.subarray(this.#at));
      joined.set(chunk, left);
      this.#chunk = joined;
    }
    this.#at = 0;
  }

  space(): Uint8Array | undefined {
    const frame = this.#frame;
    if (frame === undefined || this.#at < this.#chunk.length) return undefined;
    const missing = this.#frameLength - this.#gathered;
    const least = this.#frameLength > MAX_SLAB_FRAME_BYTES ? SPACE_BYTES : SLAB_FRAME_SPACE_BYTES;
    if (missing < least) return undefined;
    if (this.#gathered === frame.length) this.#grow(this.#gathered + 1);
    return this.#frame!.subarray(this.#gathered, this.#frameLength);
  }

  filled(bytes: number): void {
    this.#gathered += bytes;
  }

  next(): Bytes | undefined {
    if (this.#lent !== undefined) this.#takeBack(this.#lent);
    for (;;) {
      const frame = this.#frame === undefined ? this.#begin() : this.#gather();
      if (frame === undefined || !this.#isReason) {
        if (this.#borrowed !== false) this.#lent = frame;
        return frame;
      }
      this.#isReason = false;
      this.#reason = decodeReason(frame) ?? '';
    }
  }

  /** Returns the next frame when the chunk contains all of it; else begins to collect it. */
  #begin(): Bytes | undefined {
    const chunk = this.#chunk;
    if (this.#at === chunk.length) return this.#rest();
    if (!this.#measure()) return undefined;
    const { length } = this.#prefix;
    const end = this.#frameEnd;
    if (end <= chunk.length) {
      this.#at = end;
      const isView = this.#borrowed !== false || (length >= MIN_VIEW_BYTES && isSlab(chunk));
      return isView ? viewFrom(chunk, end - length, end) : takeBytes(chunk, end - length, end);
    }
    // In a slab the rest of a frame will follow in the same memory.
    if (length <= MAX_SLAB_FRAME_BYTES && isSlab(chunk)) return undefined;
    this.#collect();
    return this.#gather();
  }

  /** Reads the prefix at `#at`, and where its frame ends. False when the prefix is incomplete. */
  #measure(): boolean {
    const chunk = this.#chunk;
    const end = chunk.length;
    let at = this.#at;
    const prefix = this.#prefix;
    const { read, maxFrameBytes, reasonLength } = this.#format;
    read(chunk, at, end, prefix);
    if (prefix.bytes === 0) return false;
    let isReason = false;
    if (prefix.length === reasonLength) {
      at += prefix.bytes;
      read(chunk, at, end, prefix);
      if (prefix.bytes === 0) return false;
      isReason = true;
    }
    const { length } = prefix;
    const limit = isReason ? MAX_REASON_BYTES : maxFrameBytes;
    if (length > limit) {
      const message = `Cannot read frame: it has ${length} bytes, the limit is ${limit} bytes`;
      throw new P2PError('limit_exceeded', 'remote', message);
    }
    this.#isReason = isReason;
    this.#frameEnd = at + prefix.bytes + length;
    return true;
  }

  /** Begins to collect the frame that was measured. */
  #collect(): void {
    const { length } = this.#prefix;
    const from = this.#frameEnd - length;
    const used = this.#borrowed !== false && length > MAX_SLAB_FRAME_BYTES ? spare.pop() : undefined;
    this.#frame = used ?? unwritten(Math.min(length, CREDIT_BYTES));
    this.#frameLength = length;
    this.#framePrefixBytes = from - this.#at;
    this.#gathered = 0;
    this.#at = from;
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
    if (this.#borrowed !== false) this.#lentBuffer = frame;
    return frame.length === needed ? frame : viewFrom(frame, 0, needed);
  }

  /** The handler is done with the last message. */
  #takeBack(message: Bytes): void {
    const buffer = this.#lentBuffer;
    this.#lent = this.#lentBuffer = undefined;
    if (this.#borrowed === 'checked') message.fill(RETURNED);
    const isUseful = buffer !== undefined && buffer.length > MAX_SLAB_FRAME_BYTES && buffer.length <= MAX_SPARE_BYTES;
    // A handler that has transferred it leaves nothing.
    if (isUseful && buffer.buffer.byteLength > 0 && spare.length < MAX_SPARE_FRAMES) spare.push(buffer);
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

/** Whether the next chunk may follow in the same memory. */
function isSlab(chunk: Bytes): boolean {
  return chunk.buffer.byteLength === SLAB_BYTES && chunk.length < SLAB_BYTES;
}

/** A buffer that is fully written before it is read, so it is not zeroed. */
function unwritten(length: number): Bytes {
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(length);
  return new Uint8Array(buffer, byteOffset, length);
}
