/**
 * Deterministic ECDSA signatures on P-256 over node:crypto, which itself offers only signatures with a random number. Points are
 * computed by OpenSSL; the nonce is that of RFC 6979 §3.2, and the arithmetic modulo the order of the curve is here. So Node need
 * not load the curves of @noble, which take longer than all the rest of an import.
 */

import { createECDH } from 'node:crypto';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import type { HashName } from './suite.ts';

/** The order of the curve (SP 800-186 §3.2.1.3). */
const ORDER = 0xffff_ffff_0000_0000_ffff_ffff_ffff_ffff_bce6_faad_a717_9e84_f3b9_cac2_fc63_2551n;
const SCALAR_BYTES = 32;

type Hash = (name: HashName, data: Uint8Array) => Bytes;
type Hmac = (name: HashName, key: Uint8Array, data: Uint8Array) => Bytes;

const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);

function scalarBytes(scalar: bigint): Bytes {
  return new Uint8Array(Buffer.from(scalar.toString(16).padStart(2 * SCALAR_BYTES, '0'), 'hex'));
}

/** Whether the bytes are a scalar from 1 to the order minus 1. */
export function isP256Scalar(bytes: Uint8Array): boolean {
  if (bytes.length !== SCALAR_BYTES) return false;
  const scalar = numberOf(bytes);
  return scalar > 0n && scalar < ORDER;
}

/** The point of a scalar, uncompressed. */
export function p256Point(scalar: Uint8Array): Bytes {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(scalar);
  return new Uint8Array(ecdh.getPublicKey());
}

/** RFC 6979 §3.2: the candidates for the nonce of a message with this hash, almost always the first one. */
function* nonces(hmac: Hmac, secret: Uint8Array, hashed: bigint): Generator<Bytes> {
  const [zero, one] = [Uint8Array.of(0), Uint8Array.of(1)];
  const input = concatBytes(secret, scalarBytes(hashed % ORDER));
  let value: Bytes = new Uint8Array(SCALAR_BYTES).fill(1);
  let key: Bytes = new Uint8Array(SCALAR_BYTES);
  for (const separator of [zero, one]) {
    key = hmac('sha256', key, concatBytes(value, separator, input));
    value = hmac('sha256', key, value);
  }
  for (;;) {
    value = hmac('sha256', key, value);
    if (isP256Scalar(value)) yield value;
    key = hmac('sha256', key, concatBytes(value, zero));
    value = hmac('sha256', key, value);
  }
}

/** 1 / a modulo the order, which is prime: a to the power of order − 2, with the same steps for every `a`. */
function inverse(a: bigint): bigint {
  let result = 1n;
  for (let bit = 255n; bit >= 0n; bit--) {
    result = (result * result) % ORDER;
    if ((((ORDER - 2n) >> bit) & 1n) === 1n) result = (result * a) % ORDER;
  }
  return result;
}

/** A positive integer in DER. */
function derInteger(number: bigint): Bytes {
  const hex = number.toString(16);
  const digits = hex.length % 2 === 0 ? hex : `0${hex}`;
  const bytes = Buffer.from(Number.parseInt(digits.slice(0, 2), 16) >= 0x80 ? `00${digits}` : digits, 'hex');
  return concatBytes(Uint8Array.of(0x02, bytes.length), bytes);
}

/** The DER signature over `message` (FIPS 186-5 §6.4.1). */
export function signP256(hash: Hash, hmac: Hmac, secret: Uint8Array, message: Uint8Array): Bytes {
  const [hashed, d] = [numberOf(hash('sha256', message)), numberOf(secret)];
  for (const nonce of nonces(hmac, secret, hashed)) {
    const r = numberOf(p256Point(nonce).subarray(1, 1 + SCALAR_BYTES)) % ORDER;
    const s = (inverse(numberOf(nonce)) * ((hashed + r * d) % ORDER)) % ORDER;
    if (r === 0n || s === 0n) continue;
    const [first, second] = [derInteger(r), derInteger(s)];
    return concatBytes(Uint8Array.of(0x30, first.length + second.length), first, second);
  }
  throw new Error('bug: the generator of nonces never ends');
}
