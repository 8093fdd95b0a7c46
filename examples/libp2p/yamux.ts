/**
 * yamux: many streams over one. Without I/O: bytes in, events and bytes out. Streams may be opened in both styles that are
 * in use: with a window update (Go, JavaScript) or with data (Rust). Source: hashicorp/yamux, spec.md.
 */

import type { Bytes } from 'shoal';
import { concatBytes, EMPTY_BYTES } from 'shoal/bytes';

const TYPE = { DATA: 0, WINDOW_UPDATE: 1, PING: 2, GO_AWAY: 3 } as const;
const FLAG = { SYN: 1, ACK: 2, FIN: 4, RST: 8 } as const;
const HEADER_BYTES = 12;
/** Both sides may send as much on a stream before they are told of more. */
const WINDOW_BYTES = 262_144;
const MAX_STREAMS = 256;

/** What a session tells. */
export type YamuxEvent =
  | { readonly type: 'opened'; readonly stream: YamuxStream }
  | { readonly type: 'data'; readonly stream: YamuxStream; readonly bytes: Bytes }
  /** The other side sends nothing more; `reset`: and takes nothing more. */
  | { readonly type: 'end' | 'reset'; readonly stream: YamuxStream }
  /** What came is no yamux, or the other side wants no more. */
  | { readonly type: 'closed' };

/** One stream. */
export class YamuxStream {
  readonly id: number;
  readonly #session: Yamux;
  /** What waits for the other side's window. Bounded by whoever writes. */
  #waiting: Uint8Array[] = [];
  #sendWindow = WINDOW_BYTES;
  #receiveWindow = WINDOW_BYTES;
  /** What goes with the next frame: SYN of who opens, ACK of who accepts. */
  #flags: number;
  #ends = false;
  isClosed = false;

  constructor(session: Yamux, id: number, flags: number) {
    this.#session = session;
    this.id = id;
    this.#flags = flags;
  }

  write(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.flush();
  }

  /** Sends nothing more. */
  end(): void {
    this.#ends = true;
    this.flush();
  }

  /** Says that the stream is there, without data. */
  announce(): void {
    this.#session.send(TYPE.WINDOW_UPDATE, this.#takeFlags(), this.id, 0);
  }

  flush(): void {
    while (this.#waiting.length > 0 && this.#sendWindow > 0 && !this.isClosed) {
      const bytes = this.#waiting[0]!;
      const part = bytes.subarray(0, this.#sendWindow);
      this.#sendWindow -= part.length;
      if (part.length === bytes.length) this.#waiting.shift();
      else this.#waiting[0] = bytes.subarray(part.length);
      this.#session.send(TYPE.DATA, this.#takeFlags(), this.id, part.length, part);
    }
    if (!this.#ends || this.#waiting.length > 0 || this.isClosed) return;
    this.#ends = false;
    this.#session.send(TYPE.DATA, this.#takeFlags() | FLAG.FIN, this.id, 0);
  }

  /** The other side takes more. */
  grant(bytes: number): void {
    this.#sendWindow += bytes;
    this.flush();
  }

  /** Bytes have come; they are given back when half of the window is used. False when they are more than we take. */
  received(bytes: number): boolean {
    this.#receiveWindow -= bytes;
    if (this.#receiveWindow < 0) return false;
    if (this.#receiveWindow > WINDOW_BYTES / 2) return true;
    this.#session.send(TYPE.WINDOW_UPDATE, this.#takeFlags(), this.id, WINDOW_BYTES - this.#receiveWindow);
    this.#receiveWindow = WINDOW_BYTES;
    return true;
  }

  #takeFlags(): number {
    const flags = this.#flags;
    this.#flags = 0;
    return flags;
  }
}

/** One session. */
export class Yamux {
  readonly #streams = new Map<number, YamuxStream>(); // Bounded by MAX_STREAMS.
  #nextId: number;
  #buffer: Bytes = EMPTY_BYTES;
  #out: Uint8Array[] = [];
  #isClosed = false;

  constructor(role: 'initiator' | 'responder') {
    this.#nextId = role === 'initiator' ? 1 : 2;
  }

  /** Opens a stream; `'data'`: its first data say so. */
  open(style: 'window' | 'data' = 'window'): YamuxStream {
    const stream = new YamuxStream(this, this.#nextId, FLAG.SYN);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    if (style === 'window') stream.announce();
    return stream;
  }

  /** What is to be sent. */
  take(): Bytes {
    const out = concatBytes(...this.#out);
    this.#out = [];
    return out;
  }

  push(bytes: Uint8Array): readonly YamuxEvent[] {
    if (this.#isClosed) return [];
    this.#buffer = concatBytes(this.#buffer, bytes);
    const events: YamuxEvent[] = [];
    while (this.#buffer.length >= HEADER_BYTES) {
      const view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset);
      const [type, flags, id, length] = [view.getUint8(1), view.getUint16(2), view.getUint32(4), view.getUint32(8)];
      const end = HEADER_BYTES + (type === TYPE.DATA ? length : 0);
      const isBad = view.getUint8(0) !== 0 || type > TYPE.GO_AWAY || (type === TYPE.DATA && length > WINDOW_BYTES);
      if (!isBad && this.#buffer.length < end) break;
      const data = this.#buffer.slice(HEADER_BYTES, end);
      this.#buffer = this.#buffer.subarray(end);
      if (isBad || !this.#frame(type, flags, id, length, data, events)) {
        this.#isClosed = true;
        events.push({ type: 'closed' });
        break;
      }
    }
    return events;
  }

  /** One frame. */
  send(type: number, flags: number, id: number, length: number, data: Uint8Array = EMPTY_BYTES): void {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    header.setUint8(1, type);
    header.setUint16(2, flags);
    header.setUint32(4, id);
    header.setUint32(8, length);
    this.#out.push(new Uint8Array(header.buffer), data.slice());
  }

  /** False when it is no frame of this session. */
  #frame(type: number, flags: number, id: number, length: number, data: Bytes, events: YamuxEvent[]): boolean {
    if (type === TYPE.GO_AWAY) return false;
    if (type === TYPE.PING) {
      if ((flags & FLAG.SYN) !== 0) this.send(TYPE.PING, FLAG.ACK, 0, length);
      return true;
    }
    let stream = this.#streams.get(id);
    if ((flags & FLAG.SYN) !== 0) {
      if (stream !== undefined || id % 2 === this.#nextId % 2 || this.#streams.size >= MAX_STREAMS) return false;
      stream = new YamuxStream(this, id, FLAG.ACK);
      this.#streams.set(id, stream);
      events.push({ type: 'opened', stream });
    }
    // Frames of a stream that was reset may still be on their way.
    if (stream === undefined) return true;
    if (type === TYPE.WINDOW_UPDATE) stream.grant(length);
    else if (length > 0) {
      if (!stream.received(length)) return false;
      events.push({ type: 'data', stream, bytes: data });
    }
    if ((flags & FLAG.RST) !== 0) {
      stream.isClosed = true;
      this.#streams.delete(id);
      events.push({ type: 'reset', stream });
    } else if ((flags & FLAG.FIN) !== 0) events.push({ type: 'end', stream });
    return true;
  }
}
