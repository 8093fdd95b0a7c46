/** A message that is being sent, a tell, a request or an answer, and the bytes that arrive on a stream. */

import { type Bytes, EMPTY_BYTES, viewFrom } from '../base/bytes.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';

/** Bytes of the length before requests and answers: u32, big-endian, as in go-p2p's quicswarm. */
export const FRAME_HEADER_BYTES = 4;
/** Up to here a message is copied behind its header: less than a second call into the engine costs. */
const JOINED_BYTES = 16_384;
/** What one read copies at most, in bytes. */
const READ_BYTES = 65_536;

/** Writes `chunks` and, unless told otherwise, the end of the stream, as fast as the stream takes them. */
export class Sending {
  readonly #chunks: readonly Uint8Array[];
  readonly #end: boolean;
  #chunk = 0;
  #offset = 0;

  constructor(chunks: readonly Uint8Array[], end = true) {
    this.#chunks = chunks;
    this.#end = end;
  }

  /** Bytes altogether. */
  get length(): number {
    let length = 0;
    for (const chunk of this.#chunks) length += chunk.length;
    return length;
  }

  /** Whether the stream ends with it. */
  get ends(): boolean {
    return this.#end;
  }

  /** A message behind its length. */
  static framed(payload: Uint8Array): Sending {
    const { length } = payload;
    const joined = length <= JOINED_BYTES;
    const head = new Uint8Array(joined ? FRAME_HEADER_BYTES + length : FRAME_HEADER_BYTES);
    head[0] = length >>> 24;
    head[1] = length >>> 16;
    head[2] = length >>> 8;
    head[3] = length;
    if (joined) head.set(payload, FRAME_HEADER_BYTES);
    return new Sending(joined ? [head] : [head, payload]);
  }

  /** Continues to write. The end goes out in the frame of the last byte. @returns whether everything was taken */
  write(stream: QuicStream): boolean {
    for (; this.#chunk < this.#chunks.length; this.#chunk++) {
      const chunk = this.#chunks[this.#chunk]!;
      const last = this.#chunk === this.#chunks.length - 1;
      const rest = this.#offset === 0 ? chunk : chunk.subarray(this.#offset);
      const end = last && this.#end;
      this.#offset += stream.write(rest, end);
      if (this.#offset < chunk.length) return false;
      // An empty last chunk is written for its end alone, which a stream that is not open does not take.
      if (end) return stream.sendState !== 'open';
      this.#offset = 0;
    }
    return true;
  }
}

/** The least room that small pieces get, which are collected in it; larger pieces are kept as they come. */
const MIN_ROOM_BYTES = 2048;
/** The most room that is made before anything of it is needed. */
const MAX_ROOM_BYTES = 65_536;

/**
 * Collects what comes on a stream, up to a limit, and joins it once. Room grows with what has come, whatever the pieces: a peer
 * that sends byte by byte costs no more memory than others, and one that announces much costs nothing.
 */
export class Assembly {
  /** In order. Bounded by the limit of `take`: all but the first and the last are full and have `MIN_ROOM_BYTES` and more. */
  #pieces: Bytes[] = [];
  /** How much of the last piece is used; the rest is room. */
  #used = 0;
  /** What was dropped from the front and still takes room. */
  #from = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Reads what has arrived, up to `limit` + 1 bytes altogether. @returns how many bytes it has read */
  take(stream: QuicStream, limit: number): number {
    const before = this.#length;
    while (this.#length <= limit) {
      const bytes = stream.read(Math.min(READ_BYTES, limit + 1 - this.#length));
      if (bytes === undefined) break;
      this.#add(bytes, limit + 1);
      if (stream.isPaused) break;
    }
    return this.#length - before;
  }

  /** What has come so far, in one piece. */
  bytes(): Bytes {
    if (this.#pieces.length > 1) this.#join();
    const [piece = EMPTY_BYTES] = this.#pieces;
    if (this.#from === 0 && piece.length === this.#length) return piece;
    return viewFrom(piece, this.#from, this.#from + this.#length);
  }

  /** The first bytes, up to so many. */
  head(bytes: number): Bytes {
    const [piece = EMPTY_BYTES] = this.#pieces;
    const wanted = Math.min(bytes, this.#length);
    const there = (this.#pieces.length === 1 ? this.#used : piece.length) - this.#from;
    return there < wanted ? this.bytes().subarray(0, wanted) : viewFrom(piece, this.#from, this.#from + wanted);
  }

  /** Forgets so many bytes from the front. Views of them stay what they are. */
  drop(bytes: number): void {
    this.#length -= bytes;
    if (this.#length === 0) {
      this.#pieces = [];
      this.#used = 0;
      this.#from = 0;
      return;
    }
    this.#from += bytes;
    while (this.#pieces.length > 1 && this.#from >= this.#pieces[0]!.length) this.#from -= this.#pieces.shift()!.length;
  }

  /** The announced length of a framed message, once its header is there. */
  frameLength(): number | undefined {
    if (this.#length < FRAME_HEADER_BYTES) return undefined;
    const head = this.head(FRAME_HEADER_BYTES);
    return head[0]! * 2 ** 24 + ((head[1]! << 16) | (head[2]! << 8) | head[3]!);
  }

  #add(bytes: Bytes, most: number): void {
    let rest = bytes;
    const last = this.#pieces.at(-1);
    if (last !== undefined && this.#used < last.length) {
      const fits = Math.min(last.length - this.#used, rest.length);
      last.set(fits < rest.length ? rest.subarray(0, fits) : rest, this.#used);
      this.#used += fits;
      rest = rest.subarray(fits);
    }
    if (rest.length > 0) {
      let piece = rest;
      if (last !== undefined && rest.length < MIN_ROOM_BYTES) {
        const room = Math.max(MIN_ROOM_BYTES, Math.min(this.#length, MAX_ROOM_BYTES));
        piece = new Uint8Array(Math.max(rest.length, Math.min(room, most - this.#length)));
        piece.set(rest);
      }
      this.#pieces.push(piece);
      this.#used = rest.length;
    }
    this.#length += bytes.length;
  }

  #join(): void {
    const joined = new Uint8Array(this.#length);
    let at = 0;
    for (const [index, piece] of this.#pieces.entries()) {
      const from = index === 0 ? this.#from : 0;
      const end = index === this.#pieces.length - 1 ? this.#used : piece.length;
      joined.set(from === 0 && end === piece.length ? piece : piece.subarray(from, end), at);
      at += end - from;
    }
    this.#pieces = [joined];
    this.#used = joined.length;
    this.#from = 0;
  }
}
