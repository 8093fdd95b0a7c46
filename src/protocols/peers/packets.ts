/** Packets of a session behind the hello. Source: docs/wire/peers.md §§1, 3, 4. */

import { allocMessage, type Bytes, copyInto, viewFrom } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import { readVarint, varintLength, writeVarint } from '../../base/varint.ts';
import { cutText } from './hello.ts';
import type { Outgoing } from './outgoing.ts';
import {
  MAX_BUNDLED,
  MAX_HEAD_BYTES,
  MAX_RANGES,
  MAX_REASON_BYTES,
  MESSAGE,
  type MessageType,
  PACKET,
} from './constants.ts';

/** The bytes before those of a part are at most this many. */
export const MAX_PART_HEAD_BYTES: number = MAX_HEAD_BYTES + 1 + 8 + 8;

/** What a message takes in a bundle beside its body, at most. */
export const BUNDLE_ENTRY_BYTES = 4;

/** The numbers from `from` to `to`, both included. */
export interface NumberRange {
  readonly from: number;
  readonly to: number;
}

/** A packet that is not a hello, a welcome or a denial. */
export type Packet =
  | { readonly type: 'bye'; readonly tag: number; readonly code: number; readonly reason: string }
  | AckPacket
  | { readonly type: 'notice'; readonly tag: number; readonly code: number }
  | DatagramPacket
  | PathPacket
  | NumberedPacket
  | BundlePacket
  | PartPacket;

/** What has come: all messages up to `received`, `partial` bytes of the next one, and `ranges` behind a gap. */
export interface AckPacket {
  readonly type: 'ack';
  readonly tag: number;
  readonly received: number;
  readonly partial: number;
  readonly ranges: readonly NumberRange[];
}

/** A message to a service, without a number: it is neither acknowledged nor sent again. */
export interface DatagramPacket {
  readonly type: 'datagram';
  readonly tag: number;
  readonly service: number;
  readonly payload: Bytes;
}

/** A packet about the path that it comes on. */
export type PathPacket =
  | { readonly type: 'ping'; readonly tag: number; readonly token: number }
  | { readonly type: 'pong'; readonly tag: number; readonly token: number }
  | { readonly type: 'select'; readonly tag: number; readonly epoch: number };

/** A whole message; `body` has its fields and its payload. */
export interface NumberedPacket {
  readonly type: 'numbered';
  readonly tag: number;
  readonly number: number;
  readonly received: number;
  readonly message: MessageType;
  readonly body: Bytes;
}

/** Several messages with consecutive numbers; `number` is the first one's. */
export interface BundlePacket {
  readonly type: 'bundle';
  readonly tag: number;
  readonly number: number;
  readonly received: number;
  readonly entries: readonly { readonly message: MessageType; readonly body: Bytes }[];
}

/** A part of a message: `bytes` belong at `offset` of its body of `size` bytes. */
export interface PartPacket {
  readonly type: 'part';
  readonly tag: number;
  readonly number: number;
  readonly received: number;
  readonly message: MessageType;
  readonly size: number;
  readonly offset: number;
  readonly bytes: Bytes;
}

/** The tag of the packets of a session: the first four bytes of its sender's session id. */
export function tagOf(session: Uint8Array): number {
  return ((session[0]! << 24) | (session[1]! << 16) | (session[2]! << 8) | session[3]!) >>> 0;
}

/** The last number that a packet acknowledges. */
export function acknowledgedBy(packet: Packet): number {
  if (packet.type === 'ack') return packet.ranges.at(-1)?.to ?? packet.received;
  return 'received' in packet ? packet.received : 0;
}

/** Reads a packet; `undefined` when it is malformed. */
export function decodePacket(packet: Bytes): Packet | undefined {
  const first = packet[0];
  if (first === undefined || packet.length < 5) return undefined;
  const tag = tagOf(packet.subarray(1, 5));
  if (first >= MESSAGE.TELL && first <= MESSAGE.SERVICE) return decodeNumbered(packet, tag, first as MessageType);
  switch (first) {
    case PACKET.BUNDLE:
      return decodeBundle(packet, tag);
    case PACKET.PART:
      return decodePart(packet, tag);
    case PACKET.ACK:
      return decodeAck(packet, tag);
    case PACKET.PING:
    case PACKET.PONG:
      if (packet.length !== 9) return undefined;
      return { type: first === PACKET.PING ? 'ping' : 'pong', tag, token: tagOf(packet.subarray(5)) };
    case PACKET.SELECT: {
      const epoch = readVarint(packet, 5);
      return epoch?.end === packet.length ? { type: 'select', tag, epoch: epoch.value } : undefined;
    }
    case PACKET.DATAGRAM: {
      const service = readVarint(packet, 5);
      if (service === undefined || service.value === 0) return undefined;
      return { type: 'datagram', tag, service: service.value, payload: viewFrom(packet, service.end) };
    }
    case PACKET.NOTICE:
      return packet.length === 6 ? { type: 'notice', tag, code: packet[5]! } : undefined;
    case PACKET.BYE: {
      const reason = packet.length > 6 + MAX_REASON_BYTES ? undefined : decodeReason(packet.subarray(6));
      return packet.length < 6 || reason === undefined ? undefined : { type: 'bye', tag, code: packet[5]!, reason };
    }
    default:
      return undefined;
  }
}

function decodeNumbered(packet: Bytes, tag: number, message: MessageType): NumberedPacket | undefined {
  // One-byte and two-byte varints are nearly all; the general reader allocates.
  const number = readVarint(packet, 5);
  if (number === undefined || number.value === 0) return undefined;
  const received = readVarint(packet, number.end);
  if (received === undefined) return undefined;
  const body = viewFrom(packet, received.end);
  return { type: 'numbered', tag, number: number.value, received: received.value, message, body };
}

function decodeBundle(packet: Bytes, tag: number): BundlePacket | undefined {
  const number = readVarint(packet, 5);
  if (number === undefined || number.value === 0) return undefined;
  const received = readVarint(packet, number.end);
  if (received === undefined) return undefined;
  const entries: { readonly message: MessageType; readonly body: Bytes }[] = [];
  for (let at = received.end; at < packet.length;) {
    const message = packet[at]!;
    let size = packet[++at]!;
    if (size < 0x80) at++;
    else {
      const read = readVarint(packet, at);
      if (read === undefined) return undefined;
      size = read.value;
      at = read.end;
    }
    const isValid = message >= MESSAGE.TELL && message <= MESSAGE.SERVICE && at + size <= packet.length;
    if (!isValid || entries.length >= MAX_BUNDLED) return undefined;
    entries.push({ message: message as MessageType, body: viewFrom(packet, at, at + size) });
    at += size;
  }
  if (entries.length === 0) return undefined;
  return { type: 'bundle', tag, number: number.value, received: received.value, entries };
}

function decodePart(packet: Bytes, tag: number): PartPacket | undefined {
  const number = readVarint(packet, 5);
  if (number === undefined || number.value === 0) return undefined;
  const received = readVarint(packet, number.end);
  if (received === undefined) return undefined;
  const message = packet[received.end];
  if (message === undefined || message < MESSAGE.TELL || message > MESSAGE.SERVICE) return undefined;
  const size = readVarint(packet, received.end + 1);
  if (size === undefined) return undefined;
  const offset = readVarint(packet, size.end);
  if (offset === undefined) return undefined;
  const bytes = viewFrom(packet, offset.end);
  if (bytes.length === 0 || offset.value + bytes.length > size.value) return undefined;
  return {
    type: 'part',
    tag,
    number: number.value,
    received: received.value,
    message: message as MessageType,
    size: size.value,
    offset: offset.value,
    bytes,
  };
}

function decodeAck(packet: Bytes, tag: number): AckPacket | undefined {
  const received = readVarint(packet, 5);
  if (received === undefined) return undefined;
  const partial = readVarint(packet, received.end);
  if (partial === undefined) return undefined;
  const ranges: NumberRange[] = [];
  let at = partial.end;
  let next = received.value + 1;
  while (at < packet.length) {
    const gap = readVarint(packet, at);
    const length = gap === undefined ? undefined : readVarint(packet, gap.end);
    if (gap === undefined || length === undefined || gap.value === 0 || length.value === 0) return undefined;
    const from = next + gap.value;
    next = from + length.value;
    if (ranges.length >= MAX_RANGES || !Number.isSafeInteger(next)) return undefined;
    ranges.push({ from, to: next - 1 });
    at = length.end;
  }
  return { type: 'ack', tag, received: received.value, partial: partial.value, ranges };
}

function writeU32(packet: Uint8Array, at: number, value: number): number {
  packet[at] = value >>> 24;
  packet[at + 1] = value >>> 16;
  packet[at + 2] = value >>> 8;
  packet[at + 3] = value;
  return at + 4;
}

/** Writes the first five bytes of a packet. */
function writeStart(packet: Uint8Array, at: number, type: number, tag: number): number {
  packet[at] = type;
  return writeU32(packet, at + 1, tag);
}

/**
 * Writes the head of a numbered message in front of its body, which begins at {@link MAX_HEAD_BYTES} of `buffer`.
 *
 * @returns the packet, a view of `buffer`.
 */
export function finishNumbered(
  buffer: Bytes,
  length: number,
  type: MessageType,
  tag: number,
  number: number,
  received: number,
): Bytes {
  const start = MAX_HEAD_BYTES - 5 - varintLength(number) - varintLength(received);
  let at = writeStart(buffer, start, type, tag);
  at = writeVarint(buffer, at, number);
  writeVarint(buffer, at, received);
  return viewFrom(buffer, start, MAX_HEAD_BYTES + length);
}

/** Writes messages with consecutive numbers into one packet. */
export function encodeBundle(tag: number, received: number, messages: readonly Outgoing[]): Bytes {
  const { number } = messages[0]!;
  let length = 5 + varintLength(number) + varintLength(received);
  for (const { size } of messages) length += 1 + varintLength(size) + size;
  const packet = allocMessage(length);
  let at = writeVarint(packet, writeStart(packet, 0, PACKET.BUNDLE, tag), number);
  at = writeVarint(packet, at, received);
  for (const { type, size, buffer } of messages) {
    packet[at++] = type;
    if (size < 0x80) packet[at++] = size;
    else at = writeVarint(packet, at, size);
    copyInto(packet, at, viewFrom(buffer, MAX_HEAD_BYTES, MAX_HEAD_BYTES + size));
    at += size;
  }
  return packet;
}

/** Writes a part. */
export function encodePart(part: Omit<PartPacket, 'type'>): Bytes {
  const { tag, number, received, message, size, offset, bytes } = part;
  const packet = new Uint8Array(
    6 + varintLength(number) + varintLength(received) + varintLength(size) + varintLength(offset) + bytes.length,
  );
  let at = writeStart(packet, 0, PACKET.PART, tag);
  at = writeVarint(packet, at, number);
  at = writeVarint(packet, at, received);
  packet[at++] = message;
  at = writeVarint(packet, at, size);
  at = writeVarint(packet, at, offset);
  packet.set(bytes, at);
  return packet;
}

export function encodeAck({ tag, received, partial, ranges }: Omit<AckPacket, 'type'>): Bytes {
  let length = 5 + varintLength(received) + varintLength(partial);
  let next = received + 1;
  for (const { from, to } of ranges) {
    length += varintLength(from - next) + varintLength(to - from + 1);
    next = to + 1;
  }
  const packet = new Uint8Array(length);
  let at = writeVarint(packet, writeStart(packet, 0, PACKET.ACK, tag), received);
  at = writeVarint(packet, at, partial);
  next = received + 1;
  for (const { from, to } of ranges) {
    at = writeVarint(packet, at, from - next);
    at = writeVarint(packet, at, to - from + 1);
    next = to + 1;
  }
  return packet;
}

export function encodePing(type: 'ping' | 'pong', tag: number, token: number): Bytes {
  const packet = new Uint8Array(9);
  writeU32(packet, writeStart(packet, 0, type === 'ping' ? PACKET.PING : PACKET.PONG, tag), token);
  return packet;
}

export function encodeNotice(tag: number, code: number): Bytes {
  const packet = new Uint8Array(6);
  packet[writeStart(packet, 0, PACKET.NOTICE, tag)] = code;
  return packet;
}

export function encodeDatagram(tag: number, service: number, payload: Uint8Array): Bytes {
  const packet = allocMessage(5 + varintLength(service) + payload.length);
  const at = writeVarint(packet, writeStart(packet, 0, PACKET.DATAGRAM, tag), service);
  copyInto(packet, at, payload);
  return packet;
}

export function encodeSelect(tag: number, epoch: number): Bytes {
  const packet = new Uint8Array(5 + varintLength(epoch));
  writeVarint(packet, writeStart(packet, 0, PACKET.SELECT, tag), epoch);
  return packet;
}

export function encodeBye(tag: number, code: number, reason: string): Bytes {
  const text = cutText(reason);
  const packet = new Uint8Array(6 + text.length);
  packet[writeStart(packet, 0, PACKET.BYE, tag)] = code;
  packet.set(text, 6);
  return packet;
}
