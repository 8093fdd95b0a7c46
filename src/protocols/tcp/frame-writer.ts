/**
 * Writes frames one after the other, so that the frames of one turn are sent as one piece. Source: docs/wire/tcp.md §2.
 */

import { type Bytes, copyInto, EMPTY_BYTES, encodeText } from '../../base/bytes.ts';
import { varintLength, writeVarint } from '../../base/varint.ts';
import { MAX_REASON_BYTES } from './constants.ts';
import { FRAME, type MessageHead } from './frames.ts';

/** The first buffer of an idle connection, the largest that is kept between two bursts, and the largest of a busy one. */
const MIN_BUFFER_BYTES = 1024;
const KEPT_BUFFER_BYTES = 16_384;
const MAX_BUFFER_BYTES = 131_072;

const TYPE_OF = {
  tell: FRAME.TELL,
  request: FRAME.REQUEST,
  answer: FRAME.ANSWER,
  refusal: FRAME.REFUSAL,
} as const;

/** Each byte of a buffer is written once only, so taken pieces stay valid. */
export class FrameWriter {
  /** Full buffers. Bounded by its owner, which checks `length`. */
  #full: Bytes[] = [];
  #fullBytes = 0;
  #buffer: Bytes = EMPTY_BYTES;
  #from = 0;
  #at = 0;
  #nextBytes = MIN_BUFFER_BYTES;
  /** Bytes taken since the last rest. */
  #taken = 0;

  /** Bytes that were written and not taken. */
  get length(): number {
    return this.#fullBytes + this.#at - this.#from;
  }

  /** Takes all written bytes, in order. */
  take(): readonly Bytes[] {
    const pieces = this.#full;
    this.#taken += this.length;
    if (this.#at > this.#from) pieces.push(this.#buffer.subarray(this.#from, this.#at));
    this.#from = this.#at;
    this.#full = [];
    this.#fullBytes = 0;
    return pieces;
  }

  /**
   * Nothing is on its way. The rest of a buffer is kept for the next bursts if they fit into it as a whole: one piece is sent faster
   * than two.
   */
  rest(): void {
    if (this.length > 0) return;
    const burst = this.#taken;
    this.#taken = 0;
    if (this.#buffer.length > KEPT_BUFFER_BYTES || this.#buffer.length - this.#at < burst) this.release();
    this.#nextBytes = Math.min(Math.max(MIN_BUFFER_BYTES, 4 * burst), KEPT_BUFFER_BYTES);
  }

  /** Releases the buffer, so that an idle connection holds none. */
  release(): void {
    if (this.length > 0) return;
    this.#buffer = EMPTY_BYTES;
    this.#from = this.#at = 0;
  }

  hello(fields: readonly number[]): void {
    this.#numbers(FRAME.HELLO, fields);
  }

  /** A complete tell: the hot path. */
  tell(payload: Uint8Array): void {
    const { length } = payload;
    this.#begin(FRAME.TELL, length, length);
    copyInto(this.#buffer, this.#at, payload);
    this.#at += length;
  }

  /** A complete message in one frame. */
  message(head: MessageHead, payload: Uint8Array): void {
    if (head.type === 'tell') {
      this.tell(payload);
      return;
    }
    this.#begin(TYPE_OF[head.type], headLength(head) + payload.length, 0);
    this.#head(head);
    this.#bytes(payload);
  }

  begin(stream: number, size: number, head: MessageHead): void {
    const length = varintLength(stream) + varintLength(size) + 1 + headLength(head);
    this.#begin(FRAME.BEGIN, length, length);
    this.#varint(stream);
    this.#varint(size);
    this.#buffer[this.#at++] = TYPE_OF[head.type];
    this.#head(head);
  }

  chunk(stream: number, bytes: Uint8Array): void {
    this.#begin(FRAME.CHUNK, varintLength(stream) + bytes.length, 0);
    this.#varint(stream);
    this.#bytes(bytes);
  }

  abort(stream: number): void {
    this.#numbers(FRAME.ABORT, [stream]);
  }

  cancel(id: number): void {
    this.#numbers(FRAME.CANCEL, [id]);
  }

  credit(tellBytes: number, requestBytes: number): void {
    this.#numbers(FRAME.CREDIT, [tellBytes, requestBytes]);
  }

  ping(type: 'ping' | 'pong', token: Uint8Array): void {
    this.#begin(type === 'ping' ? FRAME.PING : FRAME.PONG, token.length, 0);
    this.#bytes(token);
  }

  bye(code: number, reason: string): void {
    const text = encodeText(cutReason(reason));
    this.#begin(FRAME.BYE, varintLength(code) + text.length, 0);
    this.#varint(code);
    this.#bytes(text);
  }

  #numbers(type: number, fields: readonly number[]): void {
    let length = 0;
    for (const field of fields) length += varintLength(field);
    this.#begin(type, length, length);
    for (const field of fields) this.#varint(field);
  }

  #head(head: MessageHead): void {
    if (head.type === 'tell') return;
    this.#varint(head.id);
    if (head.type === 'request') this.#varint(head.maxResponseBytes);
    else if (head.type === 'refusal') {
      this.#room(1);
      this.#buffer[this.#at++] = head.code;
    }
  }

  /** Writes length and type of a frame, with room for `room` bytes of its fields in one buffer. */
  #begin(type: number, fieldBytes: number, room: number): void {
    const length = 1 + fieldBytes;
    this.#room(varintLength(length) + 1 + room);
    this.#varint(length);
    this.#buffer[this.#at++] = type;
  }

  #varint(value: number): void {
    this.#room(varintLength(value));
    if (value < 0x80) this.#buffer[this.#at++] = value;
    else this.#at = writeVarint(this.#buffer, this.#at, value);
  }

  #bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    copyInto(this.#buffer, this.#at, bytes);
    this.#at += bytes.length;
  }

  /** Ensures room for `length` contiguous bytes. */
  #room(length: number): void {
    if (this.#at + length <= this.#buffer.length) return;
    if (this.#at > this.#from) {
      this.#full.push(this.#buffer.subarray(this.#from, this.#at));
      this.#fullBytes += this.#at - this.#from;
    }
    const size = Math.max(this.#nextBytes, length);
    this.#buffer = new Uint8Array(size);
    this.#from = this.#at = 0;
    this.#nextBytes = Math.min(4 * size, MAX_BUFFER_BYTES);
  }
}

function headLength(head: MessageHead): number {
  if (head.type === 'tell') return 0;
  const length = varintLength(head.id);
  if (head.type === 'request') return length + varintLength(head.maxResponseBytes);
  return head.type === 'refusal' ? length + 1 : length;
}

/** Truncates a reason to fit into a bye. */
function cutReason(reason: string): string {
  let cut = reason;
  while (encodeText(cut).length > MAX_REASON_BYTES) cut = cut.slice(0, -1);
  return cut;
}
