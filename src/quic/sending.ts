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

/** The least room that a message which comes in pieces gets. */
const MIN_ROOM_BYTES = 2048;

/** From here on room grows by half and does not double: less of it is empty. */
const LARGE_ROOM_BYTES = 65_536;

function roomFor(length: number): number {
  return Math.max(MIN_ROOM_BYTES, length < LARGE_ROOM_BYTES ? 2 * length : Math.floor(1.5 * length));
}

/**
 * Collects what comes on a stream, up to a limit. Room grows with what has come, whatever the pieces: a peer that sends
 * byte by byte costs no more memory than others, and one that announces much costs nothing.
 */
export class Assembly {
  #room: Bytes = EMPTY_BYTES;
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
    }
    return this.#length - before;
  }

  /** What has come so far. It may be a view of something larger, not twice as large. */
  bytes(): Bytes {
    if (this.#from === 0 && this.#room.length === this.#length) return this.#room;
    return viewFrom(this.#room, this.#from, this.#from + this.#length);
  }

  /** Forgets so many bytes from the front. Views of them stay what they are. */
  drop(bytes: number): void {
    this.#from += bytes;
    this.#length -= bytes;
    if (this.#length > 0) return;
    this.#room = EMPTY_BYTES;
    this.#from = 0;
  }

  /** The announced length of a framed message, once its header is there. */
  frameLength(): number | undefined {
    if (this.#length < FRAME_HEADER_BYTES) return undefined;
    const room = this.bytes();
    return room[0]! * 2 ** 24 + ((room[1]! << 16) | (room[2]! << 8) | room[3]!);
  }

  #add(bytes: Bytes, most: number): void {
    const length = this.#length + bytes.length;
    if (this.#length === 0) this.#room = bytes;
    else {
      if (this.#from + length > this.#room.length) {
        const room = new Uint8Array(Math.max(length, Math.min(most, roomFor(this.#length))));
        room.set(this.bytes());
        this.#room = room;
        this.#from = 0;
      }
      this.#room.set(bytes, this.#from + this.#length);
    }
    this.#length = length;
  }
}
