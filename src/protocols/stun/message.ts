/**
 * STUN messages (RFC 8489 §5 and §14): header, attributes, integrity and fingerprint. ICE and TURN use the same form with other
 * methods and attributes.
 */

import { hash, hmac } from '#crypto';
import { type Bytes, concatBytes, equalBytes } from '../../base/bytes.ts';
import { crc32 } from './crc32.ts';
import {
  CLASSIC_TRANSACTION_ID_BYTES,
  MAX_STUN_ATTRIBUTES,
  MAX_STUN_BYTES,
  STUN_ATTRIBUTE,
  STUN_COOKIE,
  STUN_HEADER_BYTES,
  STUN_TRANSACTION_ID_BYTES,
} from './constants.ts';

/** What a message is: a request is answered by a success or an error, an indication by nothing. */
export type StunClass = 'request' | 'indication' | 'success' | 'error';

const CLASSES: readonly StunClass[] = ['request', 'indication', 'success', 'error'];

/** One attribute: its type, and its value without padding. */
export interface StunAttribute {
  /** 16 bits, see `STUN_ATTRIBUTE`. */
  readonly type: number;
  readonly value: Uint8Array;
}

/** A message without integrity and fingerprint. */
export interface StunMessage {
  readonly class: StunClass;
  /** 12 bits; 1 is Binding. */
  readonly method: number;
  /** 12 bytes; 16 in classic STUN (RFC 3489), which has no cookie. */
  readonly transactionId: Uint8Array;
  /** In the order of the wire. */
  readonly attributes: readonly StunAttribute[];
}

/** A message as it was read. Attributes that follow an integrity attribute are not in it, as RFC 8489 §14.5 says. */
export interface DecodedStunMessage extends StunMessage {
  /** Where MESSAGE-INTEGRITY begins; see {@link checkIntegrity}. */
  readonly integrityAt: number | undefined;
  /** Where MESSAGE-INTEGRITY-SHA256 begins. */
  readonly integritySha256At: number | undefined;
  /** Whether there is a FINGERPRINT, which is right. */
  readonly hasFingerprint: boolean;
}

/** What is added behind the attributes. */
export interface StunTrailer {
  /** Adds MESSAGE-INTEGRITY by this key: the password for short-term credentials, MD5(user:realm:password) for long-term ones. */
  readonly integrityKey?: Uint8Array | undefined;
  /** Which one. @default 'sha1', which every server understands */
  readonly integrity?: 'sha1' | 'sha256' | undefined;
  /** Adds FINGERPRINT. @default true */
  readonly fingerprint?: boolean | undefined;
}

/** FINGERPRINT is the checksum XOR this number (RFC 8489 §14.7). */
const FINGERPRINT_XOR = 0x5354_554e;
const FINGERPRINT_BYTES = 8;
/** Bytes of an attribute's type and length. */
const ATTRIBUTE_HEADER_BYTES = 4;

const padded = (length: number): number => (length + 3) & ~3;

/** The type field: two bits of class between twelve of method (RFC 8489 §5). */
function typeField(method: number, kind: StunClass): number {
  const bits = CLASSES.indexOf(kind);
  return (method & 0xf) | ((method & 0x70) << 1) | ((method & 0xf80) << 2) | ((bits & 1) << 4) | ((bits & 2) << 7);
}

/**
 * Writes a message.
 *
 * @throws {RangeError} for a method, a type or a transaction id out of range, or a message above 65 535 bytes.
 */
export function encodeStun(message: StunMessage, trailer: StunTrailer = {}): Bytes {
  const { method, transactionId, attributes } = message;
  const { integrityKey, integrity = 'sha1', fingerprint = true } = trailer;
  if (!Number.isInteger(method) || method < 0 || method > 0xfff) {
    throw new RangeError(`Cannot write a STUN message: method ${method} is not from 0 to 4095`);
  }
  const isClassic = transactionId.length === CLASSIC_TRANSACTION_ID_BYTES;
  if (transactionId.length !== STUN_TRANSACTION_ID_BYTES && !isClassic) {
    throw new RangeError(`Cannot write a STUN message: the transaction id has ${transactionId.length} bytes, not 12`);
  }
  let length = STUN_HEADER_BYTES;
  for (const { value } of attributes) length += ATTRIBUTE_HEADER_BYTES + padded(value.length);
  if (length > MAX_STUN_BYTES) throw new RangeError(`Cannot write a STUN message of ${length} bytes: at most 65535`);
  const body = new Uint8Array(length);
  const view = new DataView(body.buffer);
  view.setUint16(0, typeField(method, message.class));
  view.setUint16(2, length - STUN_HEADER_BYTES);
  view.setUint32(4, STUN_COOKIE);
  body.set(transactionId, isClassic ? 4 : 8);
  let at = STUN_HEADER_BYTES;
  for (const { type, value } of attributes) {
    view.setUint16(at, type);
    view.setUint16(at + 2, value.length);
    body.set(value, at + ATTRIBUTE_HEADER_BYTES);
    at += ATTRIBUTE_HEADER_BYTES + padded(value.length);
  }
  const signed = integrityKey === undefined ? body : withIntegrity(body, integrityKey, integrity);
  return fingerprint ? withFingerprint(signed) : signed;
}

const integrityType = (kind: 'sha1' | 'sha256'): number =>
  kind === 'sha1' ? STUN_ATTRIBUTE.MESSAGE_INTEGRITY : STUN_ATTRIBUTE.MESSAGE_INTEGRITY_SHA256;

/** Integrity covers what is before it, with a length field that counts it (RFC 8489 §14.5). */
function withIntegrity(message: Bytes, key: Uint8Array, kind: 'sha1' | 'sha256'): Bytes {
  const macBytes = kind === 'sha1' ? 20 : 32;
  const grown = message.slice();
  new DataView(grown.buffer).setUint16(2, message.length - STUN_HEADER_BYTES + ATTRIBUTE_HEADER_BYTES + macBytes);
  return appended(grown, integrityType(kind), hmac(kind, key, grown));
}

/** FINGERPRINT covers what is before it, with a length field that counts it (RFC 8489 §14.7). */
function withFingerprint(message: Bytes): Bytes {
  const grown = message.slice();
  new DataView(grown.buffer).setUint16(2, message.length - STUN_HEADER_BYTES + FINGERPRINT_BYTES);
  return appended(grown, STUN_ATTRIBUTE.FINGERPRINT, fingerprintOf(grown));
}

function fingerprintOf(message: Uint8Array): Bytes {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, (crc32(message) ^ FINGERPRINT_XOR) >>> 0);
  return value;
}

function appended(message: Uint8Array, type: number, value: Uint8Array): Bytes {
  const header = new Uint8Array(ATTRIBUTE_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint16(0, type);
  view.setUint16(2, value.length);
  return concatBytes(message, header, value);
}

/** Whether a datagram can be a STUN message: cheap, to tell it from others on one socket (RFC 8489 §5, RFC 7983). */
export function isStun(datagram: Uint8Array): boolean {
  return (
    datagram.length >= STUN_HEADER_BYTES &&
    (datagram[0]! & 0xc0) === 0 &&
    datagram[4] === 0x21 &&
    datagram[5] === 0x12 &&
    datagram[6] === 0xa4 &&
    datagram[7] === 0x42
  );
}

/**
 * Reads a message. `undefined` when it is not a message: wrong cookie or lengths, too many attributes, or a FINGERPRINT that is wrong or
 * not last. Never throws. Values are views into `bytes`.
 *
 * @param classic - takes messages of classic STUN too, which begin like many other things.
 */
export function decodeStun(bytes: Uint8Array, classic = false): DecodedStunMessage | undefined {
  const hasCookie = isStun(bytes);
  if (!hasCookie && !(classic && bytes.length >= STUN_HEADER_BYTES && bytes[0]! < 4)) return undefined;
  if (bytes.length % 4 !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint16(2) !== bytes.length - STUN_HEADER_BYTES) return undefined;
  const attributes: StunAttribute[] = []; // Bounded by MAX_STUN_ATTRIBUTES.
  let integrityAt: number | undefined;
  let integritySha256At: number | undefined;
  let hasFingerprint = false;
  let count = 0;
  for (let at = STUN_HEADER_BYTES; at < bytes.length;) {
    if (hasFingerprint || ++count > MAX_STUN_ATTRIBUTES || at + ATTRIBUTE_HEADER_BYTES > bytes.length) return undefined;
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    const end = at + ATTRIBUTE_HEADER_BYTES + padded(length);
    if (end > bytes.length) return undefined;
    const value = bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + ATTRIBUTE_HEADER_BYTES + length);
    if (type === STUN_ATTRIBUTE.FINGERPRINT) {
      // It is last, so the length field is already what it was when the checksum was made.
      if (length !== 4 || !equalBytes(value, fingerprintOf(bytes.subarray(0, at)))) return undefined;
      hasFingerprint = true;
    } else if (type === STUN_ATTRIBUTE.MESSAGE_INTEGRITY_SHA256) {
      if (length < 16 || length > 32 || length % 4 !== 0) return undefined;
      integritySha256At ??= at;
    } else if (type === STUN_ATTRIBUTE.MESSAGE_INTEGRITY && integritySha256At === undefined) {
      if (length !== 20) return undefined;
      integrityAt ??= at;
    } else if (integrityAt === undefined && integritySha256At === undefined) attributes.push({ type, value });
    at = end;
  }
  const type = view.getUint16(0);
  return {
    class: CLASSES[((type >> 4) & 1) | ((type >> 7) & 2)]!,
    method: (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80),
    transactionId: bytes.subarray(hasCookie ? 8 : 4, STUN_HEADER_BYTES),
    attributes,
    integrityAt,
    integritySha256At,
    hasFingerprint,
  };
}

/** Whether the integrity attribute of a message, the stronger one where there are both, is by this key; false without one. */
export function checkIntegrity(bytes: Uint8Array, message: DecodedStunMessage, key: Uint8Array): boolean {
  const at = message.integritySha256At ?? message.integrityAt;
  if (at === undefined) return false;
  const kind = message.integritySha256At === undefined ? 'sha1' : 'sha256';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const mac = bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + ATTRIBUTE_HEADER_BYTES + view.getUint16(at + 2));
  const covered = bytes.slice(0, at);
  new DataView(covered.buffer).setUint16(2, at + ATTRIBUTE_HEADER_BYTES + mac.length - STUN_HEADER_BYTES);
  const expected = hmac(kind, key, covered).subarray(0, mac.length);
  // Hashed, so that the time of the comparison says nothing about the right code.
  return equalBytes(hash('sha256', expected), hash('sha256', mac));
}
