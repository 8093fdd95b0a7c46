/** The key that both sides of a mask have, and what is derived from it. */

import { hkdf } from '#crypto';
import { type Bytes, encodeText } from '../../base/bytes.ts';
import { assertBytes } from '../../base/checks.ts';

/** Bytes of the shared key. */
export const MASK_KEY_BYTES = 32;

/** @throws {TypeError | RangeError} when `key` is not 32 bytes. The message quotes nothing of it. */
export function assertMaskKey(key: unknown): asserts key is Uint8Array {
  assertBytes(key, 'key', MASK_KEY_BYTES);
}

/** A key for one purpose. */
export function deriveMaskKey(key: Uint8Array, salt: Uint8Array, purpose: string): Bytes {
  return hkdf('sha256', key, salt, encodeText(`shoal mask 1 ${purpose}`), MASK_KEY_BYTES);
}
