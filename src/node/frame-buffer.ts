/** The buffer that frames are written to: small pieces are collected in chunks, large ones are not copied. */

import { varintLength, writeVarint } from '../base/varint.ts';
import type { FrameWriter } from './codec.ts';

/** Smaller pieces are copied together; above this size a copy costs more than an additional piece in a write. */
const COPY_BELOW_BYTES = 8192;
/** Up to this size a loop copies faster than a call of `set`. */
const LOOP_COPY_BYTES = 16;
/** The first chunk of an idle connection, and the largest of a busy one. */
const MIN_CHUNK_BYTES = 1024;
const MAX_CHUNK_BYTES = 65_536;
/**
 * A chunk of the largest size with one piece of this size contains no other piece: it is reused when that piece is in
 * the kernel.
 */
const WHOLE_CHUNK_BYTES = 57_344;
/** A large chunk with less than this used in a burst is followed by a small one. */
const SMALL_BURST_BYTES = 4096;

/**
 * Chunks for reuse by any connection: a burst takes many, and an idle connection holds none. Like Node's own buffer
 * pool it only affects speed. Bounded by MAX_SPARE_CHUNKS, 4 MiB.
 */
const spare: Uint8Array[] = [];
const MAX_SPARE_CHUNKS = 64;

function giveBack(chunk: Uint8Array): void {
  if (chunk.length === MAX_CHUNK_BYTES && spare.length < MAX_SPARE_CHUNKS) spare.push(chunk);
}

/** The frames written so far, as pieces; only the last is incomplete. */
export interface FramePieces {
  /** Bounded by `bytes`: no piece is empty. */
  readonly pieces: Uint8Array[];
  bytes: number;
}

const NO_CHUNK: Uint8Array = new Uint8Array(0);

/**
 * Writes into one {@link FramePieces} at a time. The memory of a piece is not written again until the piece has landed.
 */
export class FrameBuffer implements FrameWriter {
  readonly #reuses: boolean;
  #target: FramePieces = { pieces: [], bytes: 0 };
  #chunk: Uint8Array = NO_CHUNK;
  /** The start of the part of the chunk that is written but not a piece yet. */
  #from = 0;
  #at = 0;
  #nextChunkBytes = MIN_CHUNK_BYTES;
  /** Pieces that are the only ones in their chunks. Bounded by the queued bytes. */
  readonly #lent = new Map<Uint8Array, Uint8Array>();
  /** Whether more than one chunk was used since the last `rest`. */
  #isBurst = false;
  /** The position that {@link FrameBuffer.back} returns to. */
  #markChunk: Uint8Array = NO_CHUNK;
  #markFrom = 0;
  #markAt = 0;
  #markPieces = 0;
  #markBytes = 0;

  /** @param reuses - whether landed pieces are not referenced elsewhere: their chunks are then reused. */
  constructor(reuses: boolean) {
    this.#reuses = reuses;
  }

  /** Directs further frames to `target`. */
  aim(target: FramePieces): void {
    if (target === this.#target) return;
    this.finish();
    this.#target = target;
  }

  /** Completes a piece from the bytes written so far. */
  finish(): void {
    if (this.#at === this.#from) return;
    const piece = this.#chunk.subarray(this.#from, this.#at);
    this.#target.pieces.push(piece);
    if (piece.length >= WHOLE_CHUNK_BYTES && this.#chunk.length === MAX_CHUNK_BYTES) {
      this.#lent.set(piece, this.#chunk);
      this.#chunk = NO_CHUNK;
      this.#at = 0;
    }
    this.#from = this.#at;
  }

  /** Reports pieces that are in the kernel, or will never be sent. */
  landed(pieces: readonly Uint8Array[]): void {
    if (this.#lent.size === 0) return;
    for (const piece of pieces) {
      const chunk = this.#lent.get(piece);
      if (chunk === undefined) continue;
      this.#lent.delete(piece);
      if (this.#reuses) giveBack(chunk);
    }
  }

  /** Everything has landed: releases the chunk, so that an idle connection holds none. */
  rest(): void {
    this.finish();
    if (!this.#isBurst && this.#at < SMALL_BURST_BYTES) this.#nextChunkBytes = MIN_CHUNK_BYTES;
    this.#isBurst = false;
    if (this.#reuses) giveBack(this.#chunk);
    this.#chunk = this.#markChunk = NO_CHUNK;
    this.#from = this.#at = 0;
  }

  /** Resets the buffer. Pieces in transit are unchanged, so their chunks are not reused. */
  clear(): void {
    this.#chunk = this.#markChunk = NO_CHUNK;
    this.#from = this.#at = 0;
    this.#lent.clear();
  }

  /** Remembers this position. */
  mark(): void {
    this.#markChunk = this.#chunk;
    this.#markFrom = this.#from;
    this.#markAt = this.#at;
    this.#markPieces = this.#target.pieces.length;
    this.#markBytes = this.#target.bytes;
  }

  /** Discards everything written since {@link FrameBuffer.mark}. */
  back(): void {
    this.#chunk = this.#markChunk;
    this.#from = this.#markFrom;
    this.#at = this.#markAt;
    const { pieces } = this.#target;
    for (let i = this.#markPieces; i < pieces.length; i++) this.#lent.delete(pieces[i]!);
    pieces.length = this.#markPieces;
    this.#target.bytes = this.#markBytes;
  }

  uint8(value: number): void {
    this.#room(1)[this.#at++] = value;
  }

  uint16(value: number, littleEndian = false): void {
    const chunk = this.#room(2);
    chunk[littleEndian ? this.#at + 1 : this.#at] = value >>> 8;
    chunk[littleEndian ? this.#at : this.#at + 1] = value;
    this.#at += 2;
  }

  uint32(value: number, littleEndian = false): void {
    const chunk = this.#room(4);
    const at = this.#at;
    const [first, step] = littleEndian ? [at + 3, -1] : [at, 1];
    chunk[first] = value >>> 24;
    chunk[first + step] = value >>> 16;
    chunk[first + 2 * step] = value >>> 8;
    chunk[first + 3 * step] = value;
    this.#at = at + 4;
  }

  varint(value: number): void {
    const chunk = this.#room(varintLength(value));
    this.#at = writeVarint(chunk, this.#at, value);
  }

  prefixed(bytes: Uint8Array, littleEndian = false): void {
    const { length } = bytes;
    if (length >= COPY_BELOW_BYTES || littleEndian) {
      this.uint32(length, littleEndian);
      this.bytes(bytes);
      return;
    }
    let chunk = this.#chunk;
    if (this.#at + length + 4 > chunk.length) chunk = this.#room(length + 4);
    else this.#target.bytes += length + 4;
    const at = this.#at;
    chunk[at] = 0;
    chunk[at + 1] = 0; // Shorter than COPY_BELOW_BYTES.
    chunk[at + 2] = length >>> 8;
    chunk[at + 3] = length;
    if (length > LOOP_COPY_BYTES) chunk.set(bytes, at + 4);
    else for (let i = 0; i < length; i++) chunk[at + 4 + i] = bytes[i]!;
    this.#at = at + 4 + length;
  }

  bytes(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length >= COPY_BELOW_BYTES) {
      this.finish();
      this.#target.pieces.push(bytes);
      this.#target.bytes += length;
      return;
    }
    const chunk = this.#room(length);
    const at = this.#at;
    if (length > LOOP_COPY_BYTES) chunk.set(bytes, at);
    else for (let i = 0; i < length; i++) chunk[at + i] = bytes[i]!;
    this.#at = at + length;
  }

  /** The chunk with room for `length` bytes, which count as written. */
  #room(length: number): Uint8Array {
    this.#target.bytes += length;
    if (this.#at + length > this.#chunk.length) {
      this.finish();
      const size = Math.max(this.#nextChunkBytes, length);
      // Not zeroed: every byte is written before it is read. Small buffers come from Node's own pool.
      this.#isBurst ||= this.#from > 0 || this.#lent.size > 0;
      this.#chunk = (size === MAX_CHUNK_BYTES && spare.pop()) || Buffer.allocUnsafe(size);
      this.#from = this.#at = 0;
      this.#nextChunkBytes = Math.min(size * 4, MAX_CHUNK_BYTES);
    }
    return this.#chunk;
  }
}
