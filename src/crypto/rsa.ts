/** Checks which RSA keys are accepted, the same on every platform. Contains no RSA arithmetic. */

/** The hash functions in signatures of certificates. */
export type RsaHash = 'sha256' | 'sha384' | 'sha512';

/** Bytes of the shortest and the longest modulus: shorter keys are insecure, longer ones only cost time. */
const MIN_BYTES = 2048 / 8;
const MAX_BYTES = 8192 / 8;
/** The largest exponent, which almost every key has; larger ones only cost time. */
const MAX_EXPONENT = 65_537;
const MAX_EXPONENT_BYTES = 3;

/** A key whose numbers have no leading zeros. */
export interface RsaNumbers {
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

/**
 * The numbers of a usable key, or `undefined`: the modulus is odd and has 2048 to 8192 bits, a whole number of bytes
 * (CAs may not use others); the exponent is odd, from 3 to 65537 (RFC 8017 §3.1).
 *
 * @param modulus - big-endian, with at most one leading zero.
 */
export function usableRsaKey(modulus: Uint8Array, exponent: Uint8Array): RsaNumbers | undefined {
  // Checks lengths first: oversized numbers are not read.
  if (modulus.length > MAX_BYTES + 1 || exponent.length > MAX_EXPONENT_BYTES) return undefined;
  const n = modulus[0] === 0 ? modulus.subarray(1) : modulus;
  if (n.length < MIN_BYTES || n.length > MAX_BYTES || n[0]! < 0x80 || (n.at(-1)! & 1) === 0) return undefined;
  const e = exponent.reduce((sum, byte) => sum * 256 + byte, 0);
  if (e < 3 || e > MAX_EXPONENT || (e & 1) === 0) return undefined;
  return { modulus: n, exponent };
}
