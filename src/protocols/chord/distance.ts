/** Distances on the ring of Chord, as go-p2p has them: numbers of equal length, big-endian. */

import { type Bytes, compareBytes } from '../../base/bytes.ts';

/**
 * How far it is from `from` forward to `to`: (to − from) modulo 2^(8 · length).
 *
 * @throws {RangeError} when the lengths differ.
 */
export function distanceForward(to: Uint8Array, from: Uint8Array): Bytes {
  assertSameLength(to, from);
  const out = new Uint8Array(to.length);
  let borrow = 0;
  for (let i = to.length - 1; i >= 0; i--) {
    const digit = to[i]! - from[i]! - borrow;
    borrow = digit < 0 ? 1 : 0;
    out[i] = digit;
  }
  return out;
}

/**
 * |to − from| as plain numbers: not around the ring.
 *
 * @throws {RangeError} when the lengths differ.
 */
export function distanceAbsolute(to: Uint8Array, from: Uint8Array): Bytes {
  assertSameLength(to, from);
  return compareBytes(to, from) < 0 ? distanceForward(from, to) : distanceForward(to, from);
}

/** Whether `id` lies on the way from `from` forward to `to`, without both ends; from a place to itself it is the whole ring. */
export function isBetween(id: Uint8Array, from: Uint8Array, to: Uint8Array): boolean {
  const [afterFrom, afterTo] = [compareBytes(id, from), compareBytes(to, id)];
  if (afterFrom === 0 || afterTo === 0) return false;
  return compareBytes(from, to) < 0 ? afterFrom > 0 && afterTo > 0 : afterFrom > 0 || afterTo > 0;
}

function assertSameLength(a: Uint8Array, b: Uint8Array): void {
  if (a.length === b.length) return;
  throw new RangeError(
    `Cannot take a distance: expected two of the same length, got ${a.length} and ${b.length} bytes`,
  );
}
