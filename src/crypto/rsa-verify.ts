/**
 * RSA signatures with PKCS #1 v1.5 padding (RFC 8017 §8.2.2): checked only, for certificates of authorities that have such
 * keys. Nothing here is secret, so plain arithmetic will do.
 */

import { hash } from '#crypto';
import { concatBytes, equalBytes, fromHex, type Bytes } from '../core/bytes.ts';

/** The hashes that certificates are signed over. */
export type RsaHash = 'sha256' | 'sha384' | 'sha512';

/** Shorter keys are broken, longer ones are only work. */
const MIN_BITS = 2048;
const MAX_BITS = 8192;

/** DER in front of each hash (RFC 8017 §9.2, notes). */
const DIGEST_INFO: Readonly<Record<RsaHash, Bytes>> = {
  sha256: fromHex('3031300d060960864801650304020105000420'),
  sha384: fromHex('3041300d060960864801650304020205000430'),
  sha512: fromHex('3051300d060960864801650304020305000440'),
};

function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function toBytes(value: bigint, length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let factor = base % modulus; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = (result * factor) % modulus;
    factor = (factor * factor) % modulus;
  }
  return result;
}

/** Whether `signature` is the key's over `message`; false too for keys that are too short, too long or odd. Never throws. */
export function rsaVerify(
  key: { readonly modulus: Uint8Array; readonly exponent: Uint8Array },
  name: RsaHash,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const [n, e] = [toBigInt(key.modulus), toBigInt(key.exponent)];
  const bits = n.toString(2).length;
  // RFC 8017 §3.1; exponents beyond 32 bits exist only to cost time.
  if (bits < MIN_BITS || bits > MAX_BITS || (n & 1n) === 0n || e < 3n || e > 0xffff_ffffn || (e & 1n) === 0n)
    return false;
  const length = Math.ceil(bits / 8);
  const s = toBigInt(signature);
  if (signature.length !== length || s >= n) return false;
  const digest = concatBytes(DIGEST_INFO[name], hash(name, message));
  const padding = new Uint8Array(length - digest.length - 3).fill(0xff);
  const expected = concatBytes(Uint8Array.of(0, 1), padding, Uint8Array.of(0), digest);
  return equalBytes(toBytes(power(s, e, n), length), expected);
}
