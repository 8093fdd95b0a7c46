/** The form of a sealed cell: a nonce, and NaCl's secretbox. Source: docs/wire/cells.md. */

import { SECRETBOX, secretboxOpen, secretboxSeal } from '../../crypto/secretbox.ts';
import { type Bytes, concatBytes } from '../../base/bytes.ts';

/** Bytes by which a sealed value exceeds the plaintext. */
export const SEALED_OVERHEAD_BYTES: number = SECRETBOX.nonceBytes + SECRETBOX.tagBytes;

/** @param nonce - 24 random bytes. @throws {RangeError} for a key or nonce of another length. */
export function sealValue(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Bytes {
  return concatBytes(nonce, secretboxSeal(key, nonce, plaintext));
}

/** The plaintext; `undefined` when the value is too short, forged, or sealed with another key. */
export function openValue(key: Uint8Array, sealed: Uint8Array): Bytes | undefined {
  if (sealed.length < SEALED_OVERHEAD_BYTES) return undefined;
  return secretboxOpen(key, sealed.subarray(0, SECRETBOX.nonceBytes), sealed.subarray(SECRETBOX.nonceBytes));
}
