/**
 * RSA signatures with PKCS #1 v1.5 padding (RFC 8017 §8.2.2): checked only, for certificates of authorities that have such
 * keys. Nothing here is secret, so plain arithmetic will do.
 */

import { hash } from '#crypto';
import { concatBytes, equalBytes, fromHex, toHex, type Bytes } from '../base/bytes.ts';

/** The hashes that certificates are signed over. */
export type RsaHash = 'sha256' | 'sha384' | 'sha512';

/** Shorter keys are broken, longer ones are only work. */
const MIN_BITS = 2048;
const MAX_BITS = 8192;
/** Bytes of the longest modulus and exponent as DER writes them, with a zero in front. */
const MAX_MODULUS_BYTES = MAX_BITS / 8 + 1;
const MAX_EXPONENT_BYTES = 3;
/** What practically every key has; larger ones only cost time. */
const MAX_EXPONENT = 65_537n;

/** DER in front of each hash (RFC 8017 §9.2, notes). */
const DIGEST_INFO: Readonly<Record<RsaHash, Bytes>> = {
  sha256: fromHex('3031300d060960864801650304020105000420'),
  sha384: fromHex('3041300d060960864801650304020205000430'),
  sha512: fromHex('3051300d060960864801650304020305000440'),
};

function toBigInt(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes)}`);
}

function toBytes(value: bigint, length: number): Bytes {
  return fromHex(value.toString(16).padStart(2 * length, '0'));
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
  // Lengths first: numbers are made of no more bytes than a key can have.
  if (key.modulus.length > MAX_MODULUS_BYTES || key.exponent.length > MAX_EXPONENT_BYTES) return false;
  const [n, e] = [toBigInt(key.modulus), toBigInt(key.exponent)];
  const bits = n.toString(2).length;
  // RFC 8017 §3.1; lengths that are no whole bytes are asked for by nobody, and CAs may not use them.
  if (
    bits < MIN_BITS ||
    bits > MAX_BITS ||
    bits % 8 !== 0 ||
    (n & 1n) === 0n ||
    e < 3n ||
    e > MAX_EXPONENT ||
    (e & 1n) === 0n
  )
    return false;
  const length = bits / 8;
  if (signature.length !== length) return false;
  const s = toBigInt(signature);
  if (s >= n) return false;
  const digest = concatBytes(DIGEST_INFO[name], hash(name, message));
  const padding = new Uint8Array(length - digest.length - 3).fill(0xff);
  const expected = concatBytes(Uint8Array.of(0, 1), padding, Uint8Array.of(0), digest);
  return equalBytes(toBytes(power(s, e, n), length), expected);
}
