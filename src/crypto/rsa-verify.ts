/**
 * Verifies RSA signatures with PKCS #1 v1.5 padding (RFC 8017 §8.2.2) on platforms without node:crypto, because the
 * @noble packages have no RSA. Used for certificates of authorities with RSA keys. Nothing here is secret, so constant
 * time is not needed.
 */

import { concatBytes, equalBytes, fromHex, toHex, type Bytes } from '../base/bytes.ts';
import type { RsaHash, RsaNumbers } from './rsa.ts';

/** The DER prefix of each hash (RFC 8017 §9.2, notes). */
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

/**
 * Whether `signature` is a signature of the key over the message with this digest. Never throws.
 *
 * @param key - a result of `usableRsaKey`.
 */
export function rsaVerify(
  { modulus, exponent }: RsaNumbers,
  name: RsaHash,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { length } = modulus;
  if (signature.length !== length) return false;
  const [n, s] = [toBigInt(modulus), toBigInt(signature)];
  if (s >= n) return false;
  const info = concatBytes(DIGEST_INFO[name], digest);
  const padding = new Uint8Array(length - info.length - 3).fill(0xff);
  const expected = concatBytes(Uint8Array.of(0, 1), padding, Uint8Array.of(0), info);
  return equalBytes(toBytes(power(s, toBigInt(exponent), n), length), expected);
}
