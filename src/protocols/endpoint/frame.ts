/** Messages in the bytes of a stream, in shoal's own framing and in qp2p's. Source: docs/wire/endpoint.md. */

import { type Bytes, concatBytes, viewFrom } from '../../base/bytes.ts';
import { varintLength, writeVarint } from '../../base/varint.ts';

/** A message in its three parts. Header and payload can go to many destinations with another `dst` each. */
export interface MessageParts<B extends Uint8Array = Bytes> {
  readonly header: B;
  readonly dst: B;
  readonly payload: B;
}

/** What is wrong with a frame. */
export type FrameFault = 'oversize' | 'malformed' | 'version' | 'empty_payload';

/** A whole message and the bytes it takes, a fault, or `undefined` while more has to come. */
export type Decoded = { readonly message: MessageParts; readonly length: number } | FrameFault | undefined;

/** How messages become bytes and back. */
export interface Framing {
  /** Each direction of a stream begins with a byte that says what follows. */
  readonly prefaced: boolean;
  /** A stream carries one message a direction, and its end is part of the message. */
  readonly single: boolean;
  /** The most bytes before the three parts. */
  readonly maxHeadBytes: number;
  /** The bytes before the three parts of lengths up to 2^32 - 1 each. */
  encodeHead(header: number, dst: number, payload: number): Bytes;
  /** The message at the front of `bytes`, whose parts together are at most `maxBytes` long. Never throws. */
  decode(bytes: Bytes, maxBytes: number): Decoded;
}

/** The first byte of a direction of a stream. `OPENED` says that the stream is there; another one follows it. */
export const PREFACE = { WELCOME: 0x10, MESSAGES: 0x11, BYTES: 0x12, OPENED: 0x13 } as const;

/** The longest part: what u32 and five groups of seven bits hold alike. */
export const MAX_PART_BYTES = 0xffff_ffff;

const MAX_LENGTH_BYTES = 5;

/** A length at `offset` in its shortest form: the value and the offset behind it in one number, or why there is none. */
function readLength(bytes: Bytes, offset: number): { readonly value: number; readonly end: number } | 'more' | 'bad' {
  let value = 0;
  for (let i = 0; i < MAX_LENGTH_BYTES; i++) {
    const byte = bytes[offset + i];
    if (byte === undefined) return 'more';
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte >= 0x80) continue;
    if ((i > 0 && byte === 0) || value > MAX_PART_BYTES) return 'bad';
    return { value, end: offset + i + 1 };
  }
  return 'bad';
}

/** Cuts the parts out, as views. */
function partsAt(bytes: Bytes, at: number, header: number, dst: number, payload: number): Decoded {
  const [dstAt, payloadAt] = [at + header, at + header + dst];
  const length = payloadAt + payload;
  if (bytes.length < length) return undefined;
  const message = {
    header: viewFrom(bytes, at, dstAt),
    dst: viewFrom(bytes, dstAt, payloadAt),
    payload: viewFrom(bytes, payloadAt, length),
  };
  return { message, length };
}

/** Three lengths, three parts, again and again. */
export const shoalFraming: Framing = {
  prefaced: true,
  single: false,
  maxHeadBytes: 3 * MAX_LENGTH_BYTES,
  encodeHead: (header, dst, payload) => {
    const head = new Uint8Array(varintLength(header) + varintLength(dst) + varintLength(payload));
    writeVarint(head, writeVarint(head, writeVarint(head, 0, header), dst), payload);
    return head;
  },
  decode: (bytes, maxBytes) => {
    const lengths: number[] = [];
    let at = 0;
    let total = 0;
    while (lengths.length < 3) {
      const read = readLength(bytes, at);
      if (read === 'more') return undefined;
      if (read === 'bad') return 'malformed';
      lengths.push(read.value);
      total += read.value;
      at = read.end;
      if (total > maxBytes) return 'oversize';
    }
    return partsAt(bytes, at, lengths[0]!, lengths[1]!, lengths[2]!);
  },
};

const QP2P_VERSION = 2;
const QP2P_HEAD_BYTES = 16;

/** qp2p 0.35 and 0.36: a head of 16 bytes, one message a stream. */
export const qp2pFraming: Framing = {
  prefaced: false,
  single: true,
  maxHeadBytes: QP2P_HEAD_BYTES,
  encodeHead: (header, dst, payload) => {
    const head = new Uint8Array(QP2P_HEAD_BYTES);
    const view = new DataView(head.buffer);
    view.setUint16(0, QP2P_VERSION);
    view.setUint32(2, header);
    view.setUint32(6, dst);
    view.setUint32(10, payload);
    return head;
  },
  decode: (bytes, maxBytes) => {
    if (bytes.length < QP2P_HEAD_BYTES) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, QP2P_HEAD_BYTES);
    if (view.getUint16(0) !== QP2P_VERSION) return 'version';
    if (view.getUint16(14) !== 0) return 'malformed';
    const [header, dst, payload] = [view.getUint32(2), view.getUint32(6), view.getUint32(10)];
    if (payload === 0) return 'empty_payload';
    if (header + dst + payload > maxBytes) return 'oversize';
    return partsAt(bytes, QP2P_HEAD_BYTES, header, dst, payload);
  },
};

/** Up to here a message is copied behind its head: less than a second call into the engine costs. */
const JOINED_BYTES = 16_384;

/**
 * The bytes of a message in the chunks to write. Large payloads are not copied.
 *
 * @param preface - the byte before it, where it is the first of a stream.
 */
export function encodeMessage(
  framing: Framing,
  { header, dst, payload }: MessageParts<Uint8Array>,
  preface: number | undefined,
): readonly Uint8Array[] {
  const head = framing.encodeHead(header.length, dst.length, payload.length);
  const before = preface === undefined ? [head, header, dst] : [Uint8Array.of(preface), head, header, dst];
  const small = head.length + header.length + dst.length + payload.length <= JOINED_BYTES;
  return small ? [concatBytes(...before, payload)] : [concatBytes(...before), payload];
}
