/**
 * NaCl's secretbox (XSalsa20-Poly1305) and cSHAKE256 (NIST SP 800-185 §3), which the cells of go-p2p use. node:crypto has neither, so both
 * platforms take them from the audited `@noble` packages.
 */

import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { cshake256 as nobleCshake256 } from '@noble/hashes/sha3-addons.js';
import { copyBytes, type Bytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';

/** Bytes of a key, of a nonce, and by which a box exceeds its plaintext (crypto_secretbox of NaCl). */
export const SECRETBOX = { keyBytes: 32, nonceBytes: 24, tagBytes: 16 } as const;

/** Seals `plaintext`. A nonce must never be used twice with one key. @throws {RangeError} for a key or nonce of another length. */
export function secretboxSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Bytes {
  assertBytes(key, 'key', SECRETBOX.keyBytes);
  assertBytes(nonce, 'nonce', SECRETBOX.nonceBytes);
  return copyBytes(xsalsa20poly1305(key, nonce).encrypt(plaintext));
}

/** Opens a box; `undefined` when it is forged, truncated, or sealed with another key or nonce. @throws {RangeError} as {@link secretboxSeal} */
export function secretboxOpen(key: Uint8Array, nonce: Uint8Array, box: Uint8Array): Bytes | undefined {
  assertBytes(key, 'key', SECRETBOX.keyBytes);
  assertBytes(nonce, 'nonce', SECRETBOX.nonceBytes);
  if (box.length < SECRETBOX.tagBytes) return undefined;
  try {
    return copyBytes(xsalsa20poly1305(key, nonce).decrypt(box));
  } catch {
    return undefined;
  }
}

/** cSHAKE256 with an empty function name. @param customization - the string S */
export function cshake256(customization: Uint8Array, data: Uint8Array, outputBytes: number): Bytes {
  return copyBytes(nobleCshake256(data, { personalization: customization, dkLen: outputBytes }));
}
