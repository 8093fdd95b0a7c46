/** Distances of Kademlia: the XOR of two keys, as a number. Names and semantics are go-p2p's. */

import { assertBytes, wholeNumber } from '../../base/checks.ts';
import type { Bytes } from '../../base/bytes.ts';

/** The number of leading 0 bits; 8 for each byte when all are 0. */
export function leadingZeros(bytes: Uint8Array): number {
  assertBytes(bytes, 'bytes');
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return 8 * i + Math.clz32(bytes[i]!) - 24;
  return 8 * bytes.length;
}

/**
 * Writes the XOR of `a` and `b` over their common length into `target`.
 *
 * @returns the number of bytes written.
 * @throws {RangeError} when `target` is shorter than the common length.
 */
export function xorBytes(target: Uint8Array, a: Uint8Array, b: Uint8Array): number {
  assertBytes(target, 'target');
  const length = Math.min(a.length, b.length);
  if (target.length < length) {
    throw new RangeError(`Cannot take target: expected at least ${length} bytes, got ${target.length}`);
  }
  for (let i = 0; i < length; i++) target[i] = a[i]! ^ b[i]!;
  return length;
}

/** The XOR of two keys over their common length. */
export function distance(a: Uint8Array, b: Uint8Array): Bytes {
  assertBytes(a, 'a');
  assertBytes(b, 'b');
  const bytes = new Uint8Array(Math.min(a.length, b.length));
  xorBytes(bytes, a, b);
  return bytes;
}

/** The number of leading bits that two keys share, within their common length. */
export function distanceLeadingZeros(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return 8 * i + Math.clz32(a[i]! ^ b[i]!) - 24;
  return 8 * length;
}

/**
 * Compares the distances from `x` to `a` and to `b`, byte by byte: negative when `a` is closer. When they are equal as
 * far as both go, the shorter distance is the smaller one.
 */
export function compareDistances(x: Uint8Array, a: Uint8Array, b: Uint8Array): number {
  const [toA, toB] = [Math.min(x.length, a.length), Math.min(x.length, b.length)];
  const common = Math.min(toA, toB);
  for (let i = 0; i < common; i++) {
    if (a[i] !== b[i]) return (x[i]! ^ a[i]!) < (x[i]! ^ b[i]!) ? -1 : 1;
  }
  return Math.sign(toA - toB);
}

/** Whether `a` is closer to `x` than `b` is. */
export function isCloser(x: Uint8Array, a: Uint8Array, b: Uint8Array): boolean {
  return compareDistances(x, a, b) < 0;
}

/** Whether `a` is farther from `x` than `b` is. */
export function isFarther(x: Uint8Array, a: Uint8Array, b: Uint8Array): boolean {
  return compareDistances(x, a, b) > 0;
}

/**
 * Whether the first `bits` bits of `key` are those of `prefix`; false for a key that is too short.
 *
 * @throws {RangeError} when `prefix` has fewer bits.
 */
export function hasBitPrefix(key: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  assertBytes(key, 'key');
  assertBytes(prefix, 'prefix');
  wholeNumber(bits, 'bits', 0, 0, 8 * prefix.length);
  if (8 * key.length < bits) return false;
  return distanceLeadingZeros(key, prefix) >= bits;
}
