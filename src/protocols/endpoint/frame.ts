/** Messages in the bytes of a stream, in shoal's own framing and in qp2p's. Source: docs/wire/endpoint.md. */

import { type Bytes, concatBytes, viewFrom } from '../../base/bytes.ts';
import { varintLength, writeVarint } from '../../base/varint.ts';

/** A message of qp2p in its three parts. Header and payload can go to many destinations with another `dst` each. */
export interface MessageParts<B extends Uint8Array = Bytes> {
  readonly header: B;
  readonly dst: B;
  readonly payload: B;
}

/** What is wrong with a frame. */
export type FrameFault = 'oversize' | 'malformed' | 'version' | 'empty_payload';

/** A whole message and the bytes it takes, a fault, or `undefined` while more has to come. */
export type Decoded<M> = { readonly message: M; readonly length: number } | FrameFault | undefined;

/** How the bytes of a stream become messages. */
export interface Framing<M> {
  /** Each direction of a stream begins with a byte that says what follows. */
  readonly prefaced: boolean;
  /** A stream carries one message in each direction, and its end is part of the message. */
  readonly single: boolean;
  /** The most bytes before the message itself. */
  readonly maxHeadBytes: number;
  /** How many bytes the message at the front takes with its head, as far as these first bytes of it tell. Never throws. */
  wanted(head: Bytes): number;
  /** The message at the front of `bytes`, of at most `maxBytes`, as views. Never throws. */
  decode(bytes: Bytes, maxBytes: number): Decoded<M>;
}

/** The first byte of a direction of a stream. `OPENED` says that the stream is there; another one follows it. */
export const PREFACE = { WELCOME: 0x10, MESSAGES: 0x11, BYTES: 0x12, OPENED: 0x13 } as const;

/** The longest message, and the longest part: what u32 and five groups of seven bits hold alike. */
export const MAX_PART_BYTES = 0xffff_ffff;

const MAX_LENGTH_BYTES = 5;
/** Up to here a message is copied behind its head: that costs less than a second call into the engine. */
const JOINED_BYTES = 16_384;

/** The length at the front in its shortest form: the value and the offset behind it, or why there is none. */
function readLength(bytes: Bytes): { readonly value: number; readonly end: number } | 'more' | 'bad' {
  let value = 0;
  for (let i = 0; i < MAX_LENGTH_BYTES; i++) {
    const byte = bytes[i];
    if (byte === undefined) return 'more';
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte >= 0x80) continue;
    if ((i > 0 && byte === 0) || value > MAX_PART_BYTES) return 'bad';
    return { value, end: i + 1 };
  }
  return 'bad';
}

/** shoal's own: a length, then so many bytes, again and again. */
export const shoalFraming: Framing<Bytes> = {
  prefaced: true,
  single: false,
  maxHeadBytes: MAX_LENGTH_BYTES,
  wanted: (head) => {
    const read = readLength(head);
    return typeof read === 'string' ? head.length + 1 : read.end + read.value;
  },
  decode: (bytes, maxBytes) => {
    const read = readLength(bytes);
    if (read === 'more') return undefined;
    if (read === 'bad') return 'malformed';
    if (read.value > maxBytes) return 'oversize';
    const length = read.end + read.value;
    return bytes.length < length ? undefined : { message: viewFrom(bytes, read.end, length), length };
  },
};

/**
 * The chunks of a message in shoal's framing. Large messages are not copied.
 *
 * @param preface - the byte before it, where it is the first of a stream.
 */
export function encodeBytes(payload: Uint8Array, preface: number | undefined): readonly Uint8Array[] {
  const { length } = payload;
  const lengthAt = preface === undefined ? 0 : 1;
  const headBytes = lengthAt + varintLength(length);
  const joined = length <= JOINED_BYTES;
  const head = new Uint8Array(joined ? headBytes + length : headBytes);
  if (preface !== undefined) head[0] = preface;
  writeVarint(head, lengthAt, length);
  if (!joined) return [head, payload];
  head.set(payload, headBytes);
  return [head];
}

const QP2P_VERSION = 2;
const QP2P_HEAD_BYTES = 16;

/** That of qp2p 0.35 and 0.36: a head of 16 bytes, one message in each direction of a stream. */
export const qp2pFraming: Framing<MessageParts> = {
  prefaced: false,
  single: true,
  maxHeadBytes: QP2P_HEAD_BYTES,
  wanted: (head) => {
    if (head.length < QP2P_HEAD_BYTES) return QP2P_HEAD_BYTES;
    const view = new DataView(head.buffer, head.byteOffset, QP2P_HEAD_BYTES);
    return QP2P_HEAD_BYTES + view.getUint32(2) + view.getUint32(6) + view.getUint32(10);
  },
  decode: (bytes, maxBytes) => {
    if (bytes.length < QP2P_HEAD_BYTES) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, QP2P_HEAD_BYTES);
    if (view.getUint16(0) !== QP2P_VERSION) return 'version';
    if (view.getUint16(14) !== 0) return 'malformed';
    const [header, dst, payload] = [view.getUint32(2), view.getUint32(6), view.getUint32(10)];
    if (payload === 0) return 'empty_payload';
    if (header + dst + payload > maxBytes) return 'oversize';
    const dstAt = QP2P_HEAD_BYTES + header;
    const payloadAt = dstAt + dst;
    const length = payloadAt + payload;
    if (bytes.length < length) return undefined;
    const message = {
      header: viewFrom(bytes, QP2P_HEAD_BYTES, dstAt),
      dst: viewFrom(bytes, dstAt, payloadAt),
      payload: viewFrom(bytes, payloadAt, length),
    };
    return { message, length };
  },
};

/** The chunks of a message in qp2p's framing, with parts of up to 2^32 - 1 bytes each. Large payloads are not copied. */
export function encodeParts({ header, dst, payload }: MessageParts<Uint8Array>): readonly Uint8Array[] {
  const head = new Uint8Array(QP2P_HEAD_BYTES);
  const view = new DataView(head.buffer);
  view.setUint16(0, QP2P_VERSION);
  view.setUint32(2, header.length);
  view.setUint32(6, dst.length);
  view.setUint32(10, payload.length);
  const small = head.length + header.length + dst.length + payload.length <= JOINED_BYTES;
  return small ? [concatBytes(head, header, dst, payload)] : [concatBytes(head, header, dst), payload];
}
