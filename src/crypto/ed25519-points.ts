/**
 * Checks whether 32 bytes are valid as an Ed25519 public key A or as the point R of a signature. Both implementations
 * use these checks, so that they accept the same signatures.
 *
 * The rule: A is a point of the curve in its only encoding (y below p); neither A nor R has low order, because a
 * signature with such a point is valid for many messages or keys; and R is compared as bytes with the encoding of S·B −
 * k·A, which refuses every other encoding of R.
 *
 * Source: RFC 8032 §5.1.3; the eight torsion points and the encodings ≥ p of the same points, as listed in libsodium's
 * `ge25519_has_small_order`; the sign bit is ignored.
 */

import { fromHex } from '../base/bytes.ts';

const LOW_ORDER_Y = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map(fromHex);

/** Whether the first 32 bytes encode an Ed25519 point of low order. */
export function isLowOrderEd25519(point: Uint8Array): boolean {
  return LOW_ORDER_Y.some(
    (y) => y[0] === point[0] && y.every((byte, i) => byte === (i < 31 ? point[i] : point[i]! & 0x7f)),
  );
}

/** p and d of the curve −x² + y² = 1 + dx²y² (RFC 8032 §5.1). */
const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/** Reads bytes as a little-endian number, as RFC 8032 writes numbers. Does not change the bytes. */
export function littleEndian(bytes: Uint8Array): bigint {
  let hex = '0x';
  for (let i = bytes.length - 1; i >= 0; i--) hex += bytes[i]!.toString(16).padStart(2, '0');
  return BigInt(hex);
}

/**
 * Whether `a` is a square modulo P, or 0, by the Jacobi symbol, in a quarter of the time of a square root.
 *
 * @param a - 0 to P minus 1.
 *
 * Source: Cohen, "A Course in Computational Algebraic Number Theory", algorithm 1.4.10.
 */
export function isSquare(a: bigint): boolean {
  let n = P;
  let sign = 1;
  while (a !== 0n) {
    const low = Number(a & 0x3fff_ffffn);
    if (low === 0) {
      a >>= 30n; // an even number of halvings does not change the sign
      continue;
    }
    const halvings = 31 - Math.clz32(low & -low);
    a >>= BigInt(halvings);
    const rest = Number(n & 7n);
    if ((halvings & 1) === 1 && (rest === 3 || rest === 5)) sign = -sign;
    if (Number(a & 3n) === 3 && (rest & 3) === 3) sign = -sign;
    [a, n] = [n % a, a];
  }
  return sign === 1;
}

/** Whether the bytes are a usable public key: 32 bytes, a point of the curve in its only encoding, not of low order. */
export function isEd25519PublicKey(bytes: Uint8Array): boolean {
  if (bytes.length !== 32 || isLowOrderEd25519(bytes)) return false;
  const y = littleEndian(bytes) & (2n ** 255n - 1n); // without the sign of x
  if (y >= P) return false;
  // x² = (y² − 1) / (dy² + 1), and a quotient is a square exactly when the product is.
  const y2 = (y * y) % P;
  return isSquare(((y2 - 1n) * (D * y2 + 1n)) % P);
}
