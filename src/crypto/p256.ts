/**
 * Private keys of ECDSA on P-256 with SHA-256, always by @noble/curves: its signatures are deterministic (RFC 6979),
 * while node:crypto would use a random number for each. The suite (`ecdsaPublicKey`) checks signatures.
 */

import { p256 } from '@noble/curves/nist.js';
import type { Bytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';

/** X.509 requires ECDSA signatures as DER, and accepts both values of s (RFC 5758 §3.2). */
const FORM = { format: 'der', prehash: true, lowS: false } as const;

/** Whether 32 bytes are a scalar from 1 to the order of the curve minus 1. */
export function isP256Secret(secret: Uint8Array): boolean {
  return secret.length === 32 && p256.utils.isValidSecretKey(secret);
}

/** The uncompressed point, 65 bytes. @throws {RangeError} when `secret` is not a scalar of the curve. */
export function p256PublicKey(secret: Uint8Array): Bytes {
  assertBytes(secret, 'secret', 32);
  if (!isP256Secret(secret)) throw new RangeError('Cannot take secret: it is not a P-256 scalar');
  return p256.getPublicKey(secret, false);
}

/** DER signature over `message`; the same bytes for the same message. */
export function p256Sign(secret: Uint8Array, message: Uint8Array): Bytes {
  return p256.sign(message, secret, FORM);
}
