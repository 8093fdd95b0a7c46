/** The bytes of P2PKE's messages: header, and the protobuf payloads of the handshake. docs/wire/p2pke.md §§2, 4. */

import { concatBytes, type Bytes } from '../../base/bytes.ts';
import { COOKIE_BYTES, EXTENSION, HEADER_BYTES, TIMESTAMP_BYTES, VERSION } from './constants.ts';
import { bytesField, decodeFields, varintField } from './protobuf.ts';
import { isTai64n } from './tai64n.ts';

/** Bytes of a Noise ephemeral. */
export const EPHEMERAL_BYTES = 32;
/** InitHello ends with the length of its payload. */
const TRAILER_BYTES = 2;
/** Field of InitHello that the original does not know and skips. */
const COOKIE_FIELD = 15;

/** The initiator's claims, unencrypted. */
export interface InitHello {
  readonly version: number;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
  readonly spki: Uint8Array;
  /** Over the timestamp, purpose `p2pke/timestamp`. */
  readonly signature: Uint8Array;
  /** The cookie of a peer under load, sent back. */
  readonly cookie: Uint8Array | undefined;
}

/** The responder's identity. */
export interface RespHello {
  readonly spki: Uint8Array;
  /** Over the handshake hash after message 1, purpose `p2pke/channel-binding`. */
  readonly signature: Uint8Array;
}

/** An InitHello datagram taken apart; views into it. */
export interface InitHelloDatagram {
  readonly ephemeral: Uint8Array;
  /** What Noise hashes as the payload of message 1: protobuf and trailing length. */
  readonly noisePayload: Uint8Array;
  readonly hello: InitHello;
}

/** The counter of a datagram, or `undefined` when it is too short to have one. */
export function counterOf(datagram: Uint8Array): number | undefined {
  if (datagram.length < HEADER_BYTES) return undefined;
  return ((datagram[0]! << 24) | (datagram[1]! << 16) | (datagram[2]! << 8) | datagram[3]!) >>> 0;
}

/** Writes a counter, big-endian. */
export function writeCounter(out: Uint8Array, counter: number): void {
  out[0] = counter >>> 24;
  out[1] = counter >>> 16;
  out[2] = counter >>> 8;
  out[3] = counter;
}

/** A datagram: header and body. */
export function withCounter(counter: number, ...body: readonly Uint8Array[]): Bytes {
  const header = new Uint8Array(HEADER_BYTES);
  writeCounter(header, counter);
  return concatBytes(header, ...body);
}

/** Noise payload of message 1: the protobuf, then its length in two bytes. @throws {RangeError} when it is too long. */
export function encodeInitHello(hello: Omit<InitHello, 'version'>): Bytes {
  const fields = [
    varintField(1, VERSION),
    bytesField(2, hello.timestamp),
    bytesField(3, hello.spki),
    bytesField(4, hello.signature),
  ];
  if (hello.cookie !== undefined) fields.push(bytesField(COOKIE_FIELD, hello.cookie));
  const message = concatBytes(...fields);
  if (message.length > 0xffff) throw new RangeError(`Cannot write InitHello: ${message.length} bytes, limit is 65535`);
  return concatBytes(message, Uint8Array.of(message.length >>> 8, message.length & 0xff));
}

/** Reads an InitHello datagram; `undefined` for other bytes. Does not check its claims. Never throws. */
export function decodeInitHello(datagram: Uint8Array): InitHelloDatagram | undefined {
  const body = datagram.subarray(HEADER_BYTES);
  const end = body.length - TRAILER_BYTES;
  if (end < EPHEMERAL_BYTES || end - EPHEMERAL_BYTES !== ((body[end]! << 8) | body[end + 1]!)) return undefined;
  const fields = decodeFields(body.subarray(EPHEMERAL_BYTES, end));
  const timestamp = fields?.bytes.get(2);
  const spki = fields?.bytes.get(3);
  const signature = fields?.bytes.get(4);
  if (timestamp === undefined || spki === undefined || signature === undefined || !isTai64n(timestamp)) {
    return undefined;
  }
  return {
    ephemeral: body.subarray(0, EPHEMERAL_BYTES),
    noisePayload: body.subarray(EPHEMERAL_BYTES),
    hello: {
      version: fields!.varints.get(1) ?? 0,
      timestamp,
      spki,
      signature,
      cookie: fields!.bytes.get(COOKIE_FIELD),
    },
  };
}

/** Noise payload of message 2. */
export function encodeRespHello(hello: RespHello): Bytes {
  return concatBytes(bytesField(1, hello.spki), bytesField(2, hello.signature));
}

/** The payload of message 2, or `undefined`. Never throws. */
export function decodeRespHello(payload: Uint8Array): RespHello | undefined {
  const fields = decodeFields(payload);
  const spki = fields?.bytes.get(1);
  const signature = fields?.bytes.get(2);
  return spki === undefined || signature === undefined ? undefined : { spki, signature };
}

/** Payload of InitDone. */
export function encodeInitDone(signature: Uint8Array): Bytes {
  return bytesField(1, signature);
}

/** The signature in the payload of InitDone, or `undefined`. Never throws. */
export function decodeInitDone(payload: Uint8Array): Uint8Array | undefined {
  return decodeFields(payload)?.bytes.get(1);
}

/** Version of the cookie reply. */
const COOKIE_VERSION = 1;
const COOKIE_REPLY_BYTES: number = HEADER_BYTES + 1 + 2 * COOKIE_BYTES;

/** The reply of a peer under load to an InitHello. The peer stores nothing. */
export interface CookieReply {
  /** First 16 bytes of the session id of the InitHello that is answered. */
  readonly sessionId: Uint8Array;
  readonly cookie: Uint8Array;
}

/** A cookie reply, 37 bytes: shorter than the InitHello, so it does not amplify. */
export function encodeCookieReply(reply: CookieReply): Bytes {
  return withCounter(EXTENSION, Uint8Array.of(COOKIE_VERSION), reply.sessionId, reply.cookie);
}

/** A cookie reply, or `undefined`. Views. Never throws. */
export function decodeCookieReply(datagram: Uint8Array): CookieReply | undefined {
  if (datagram.length !== COOKIE_REPLY_BYTES || datagram[HEADER_BYTES] !== COOKIE_VERSION) return undefined;
  const start = HEADER_BYTES + 1;
  return {
    sessionId: datagram.subarray(start, start + COOKIE_BYTES),
    cookie: datagram.subarray(start + COOKIE_BYTES),
  };
}

/** Version of the time reply, where a cookie reply has its own. */
const TIME_VERSION = 2;
const TIME_REPLY_BYTES: number = HEADER_BYTES + 1 + COOKIE_BYTES + TIMESTAMP_BYTES;

/** The reply of a responder to a peer whose clock differs from its own, or went back. Not authenticated. */
export interface TimeReply {
  /** First 16 bytes of the session id of the InitHello that is answered. */
  readonly sessionId: Uint8Array;
  /** The responder's time, or the timestamp that the next InitHello has to exceed, whichever is later. TAI64N. */
  readonly timestamp: Uint8Array;
}

/** A time reply, 33 bytes: shorter than the InitHello, so it does not amplify. */
export function encodeTimeReply(reply: TimeReply): Bytes {
  const sessionId = reply.sessionId.subarray(0, COOKIE_BYTES);
  return withCounter(EXTENSION, Uint8Array.of(TIME_VERSION), sessionId, reply.timestamp);
}

/** A time reply, or `undefined`. Views. Never throws. */
export function decodeTimeReply(datagram: Uint8Array): TimeReply | undefined {
  if (datagram.length !== TIME_REPLY_BYTES || datagram[HEADER_BYTES] !== TIME_VERSION) return undefined;
  const start = HEADER_BYTES + 1;
  const timestamp = datagram.subarray(start + COOKIE_BYTES);
  return isTai64n(timestamp) ? { sessionId: datagram.subarray(start, start + COOKIE_BYTES), timestamp } : undefined;
}
