/** The frames of the TCP swarm, as values, and their decoder. Source: docs/wire/tcp.md §2. */

import { type Bytes, takeBytes, viewFrom } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import { MAX_PING_BYTES, MAX_REASON_BYTES } from './constants.ts';

/** §2 */
export const FRAME = {
  HELLO: 0,
  TELL: 1,
  REQUEST: 2,
  ANSWER: 3,
  REFUSAL: 4,
  CANCEL: 5,
  BEGIN: 6,
  CHUNK: 7,
  ABORT: 8,
  CREDIT: 9,
  PING: 10,
  PONG: 11,
  BYE: 12,
} as const;

/** The header of a message: everything but its payload. */
export type MessageHead =
  | { readonly type: 'tell' }
  | { readonly type: 'request'; readonly id: number; readonly maxResponseBytes: number }
  | { readonly type: 'answer'; readonly id: number }
  | { readonly type: 'refusal'; readonly id: number; readonly code: number };

/** One frame. Payloads have their own buffers; chunks and pings are views of the input. */
export type TcpFrame =
  | {
      readonly type: 'hello';
      readonly version: number;
      readonly maxMessageBytes: number;
      readonly tellWindow: number;
      readonly requestWindow: number;
      readonly port: number;
    }
  | { readonly type: 'message'; readonly head: MessageHead; readonly payload: Bytes }
  | { readonly type: 'begin'; readonly stream: number; readonly size: number; readonly head: MessageHead }
  | { readonly type: 'chunk'; readonly stream: number; readonly bytes: Bytes }
  | { readonly type: 'abort'; readonly stream: number }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'credit'; readonly tellBytes: number; readonly requestBytes: number }
  | { readonly type: 'ping' | 'pong'; readonly bytes: Bytes }
  | { readonly type: 'bye'; readonly code: number; readonly reason: string };

const TELL: MessageHead = { type: 'tell' };

/** Reads the fields of one frame in order. A missing field makes the frame invalid. */
class Fields {
  readonly #bytes: Bytes;
  #at: number;
  readonly #end: number;
  bad = false;

  constructor(bytes: Bytes, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  u8(): number {
    if (this.#at < this.#end) return this.#bytes[this.#at++]!;
    this.bad = true;
    return 0;
  }

  varint(): number {
    let value = 0;
    for (let weight = 1; this.#at < this.#end && weight <= 2 ** 49; weight *= 0x80) {
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    this.bad = true;
    return 0;
  }

  /** The rest, for a handler. */
  payload(): Bytes {
    const payload = takeBytes(this.#bytes, this.#at, this.#end);
    this.#at = this.#end;
    return payload;
  }

  rest(): Bytes {
    const rest = viewFrom(this.#bytes, this.#at, this.#end);
    this.#at = this.#end;
    return rest;
  }

  /** Whether every field was present and nothing is left. */
  get whole(): boolean {
    return !this.bad && this.#at === this.#end;
  }
}

function readHead(type: number, fields: Fields): MessageHead | undefined {
  switch (type) {
    case FRAME.TELL:
      return TELL;
    case FRAME.REQUEST:
      return { type: 'request', id: fields.varint(), maxResponseBytes: fields.varint() };
    case FRAME.ANSWER:
      return { type: 'answer', id: fields.varint() };
    case FRAME.REFUSAL:
      return { type: 'refusal', id: fields.varint(), code: fields.u8() };
    default:
      return undefined;
  }
}

/** Decodes the frame of type and fields in `bytes` from `at` to `end`; `undefined` when it is invalid. Never throws. */
export function decodeFrame(bytes: Bytes, at: number, end: number): TcpFrame | undefined {
  if (at >= end) return undefined;
  const type = bytes[at]!;
  // By far the most frequent type, so it is handled first.
  if (type === FRAME.TELL) return { type: 'message', head: TELL, payload: takeBytes(bytes, at + 1, end) };
  const fields = new Fields(bytes, at + 1, end);
  const frame = readFrame(type, fields);
  return frame !== undefined && fields.whole ? frame : undefined;
}

function readFrame(type: number, fields: Fields): TcpFrame | undefined {
  switch (type) {
    case FRAME.REQUEST:
    case FRAME.ANSWER:
    case FRAME.REFUSAL: {
      const head = readHead(type, fields)!;
      return { type: 'message', head, payload: fields.payload() };
    }
    case FRAME.BEGIN: {
      const [stream, size, kind] = [fields.varint(), fields.varint(), fields.u8()];
      const head = readHead(kind, fields);
      return head === undefined ? undefined : { type: 'begin', stream, size, head };
    }
    case FRAME.CHUNK: {
      const stream = fields.varint();
      const chunk = fields.rest();
      return chunk.length === 0 ? undefined : { type: 'chunk', stream, bytes: chunk };
    }
    case FRAME.ABORT:
      return { type: 'abort', stream: fields.varint() };
    case FRAME.CANCEL:
      return { type: 'cancel', id: fields.varint() };
    case FRAME.CREDIT:
      return { type: 'credit', tellBytes: fields.varint(), requestBytes: fields.varint() };
    case FRAME.PING:
    case FRAME.PONG: {
      const token = fields.rest();
      return token.length > MAX_PING_BYTES ? undefined : { type: type === FRAME.PING ? 'ping' : 'pong', bytes: token };
    }
    case FRAME.BYE: {
      const code = fields.varint();
      const text = fields.rest();
      const reason = text.length > MAX_REASON_BYTES ? undefined : decodeReason(text);
      return reason === undefined ? undefined : { type: 'bye', code, reason };
    }
    case FRAME.HELLO: {
      const [version, maxMessageBytes] = [fields.varint(), fields.varint()];
      const [tellWindow, requestWindow, port] = [fields.varint(), fields.varint(), fields.varint()];
      fields.rest(); // fields that later versions add
      return port > 65_535 ? undefined : { type: 'hello', version, maxMessageBytes, tellWindow, requestWindow, port };
    }
    default:
      return undefined;
  }
}
