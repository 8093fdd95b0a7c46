/** The header of mbapp packets: six big-endian words. docs/wire/mbapp.md §1; the same bytes as go-p2p's mbapp. */

import { type Bytes, allocMessage, copyInto, viewFrom } from '../../base/bytes.ts';
import { decodePhaseTime } from './phase-time.ts';

/** Six words of four bytes. */
export const HEADER_BYTES = 24;

/** Part index and count have 16 bits. */
export const MAX_PARTS = 65_535;

/** The value of the timeout field when the sender has no deadline: 2^28 ms, three days. Source: go-p2p. */
export const NO_DEADLINE_MS = 0x1000_0000;

/**
 * The error code of an answer that is too large to send. Defined by shoal. With {@link TOKEN_BYTES} of data it is too
 * large only for a source that has not proven its address: the asker returns the token in a request with the same code.
 * docs/wire/mbapp.md §4.
 */
export const CODE_ANSWER_TOO_LARGE = 0xfe;

/** The error code of a refusal without details. Source: go-p2p. */
export const CODE_REFUSED = 0xff;

/** Bytes of the token that proves an address; 2^64 cannot be guessed in the lifetime of a request. */
export const TOKEN_BYTES = 8;

/** The kind of message that a packet is part of. */
export type PacketKind = 'tell' | 'request' | 'reply';

/** The fields that all parts of a message share. */
export interface MessageHeader {
  readonly kind: PacketKind;
  /** 0 to 255; 0 is success. Only replies use other values. */
  readonly code: number;
  /** When the message was sent, as PhaseTime32; a reply has that of its request. */
  readonly origin: number;
  /** Counts a sender's messages, 32 bits; a reply has that of its request. */
  readonly counter: number;
  /** Bytes of the whole message. */
  readonly sizeBytes: number;
  /** 0 for an empty message, else 1 or more. */
  readonly parts: number;
  /** How long the sender waits, in milliseconds; 0 in replies. */
  readonly timeoutMs: number;
}

/** A decoded packet. */
export interface Packet extends MessageHeader {
  readonly part: number;
  /** A view into the packet. */
  readonly data: Bytes;
}

const ASK_BIT = 0x8000_0000;
const REPLY_BIT = 0x4000_0000;

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

function readWord(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** A packet in a new buffer. */
export function encodePacket(header: MessageHeader, part: number, data: Uint8Array): Bytes {
  // Byte by byte: a DataView for each packet costs more than all of its fields.
  const packet = allocMessage(HEADER_BYTES + data.length);
  const bits = header.kind === 'tell' ? 0 : header.kind === 'request' ? ASK_BIT : ASK_BIT + REPLY_BIT;
  writeWord(packet, 0, bits + header.code);
  writeWord(packet, 4, header.origin);
  writeWord(packet, 8, header.counter);
  writeWord(packet, 12, header.sizeBytes);
  writeWord(packet, 16, part * 0x1_0000 + header.parts);
  writeWord(packet, 20, header.timeoutMs);
  copyInto(packet, HEADER_BYTES, data);
  return packet;
}

/**
 * Decodes a packet; `undefined` when it is too short, a reply without a request, its part is not below its count, or
 * its data is larger than its message.
 */
export function decodePacket(bytes: Bytes): Packet | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const word = readWord(bytes, 0);
  const isAsk = word >= ASK_BIT;
  const isReply = (word & REPLY_BIT) !== 0;
  if (isReply && !isAsk) return undefined;
  const dataBytes = bytes.length - HEADER_BYTES;
  const sizeBytes = readWord(bytes, 12);
  const place = readWord(bytes, 16);
  const part = place >>> 16;
  const parts = place & 0xffff;
  if (part >= Math.max(parts, 1) || dataBytes > sizeBytes || (parts <= 1 && dataBytes !== sizeBytes)) return undefined;
  return {
    kind: isReply ? 'reply' : isAsk ? 'request' : 'tell',
    code: word & 0xff,
    origin: readWord(bytes, 4),
    counter: readWord(bytes, 8),
    sizeBytes,
    part,
    parts,
    timeoutMs: readWord(bytes, 20),
    data: viewFrom(bytes, HEADER_BYTES),
  };
}

/** When a message was sent, in milliseconds since the Unix epoch, by the sender's clock. */
export function originMs(header: MessageHeader, wallMs: number): number {
  return decodePhaseTime(header.origin, wallMs);
}

/** The number of parts of a message: 0 when it is empty. */
export function partCount(sizeBytes: number, partBytes: number): number {
  return Math.ceil(sizeBytes / partBytes);
}
