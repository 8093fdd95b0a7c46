/** ECDSA on P-384 with SHA-384, checked only: for certificates of authorities that have such keys. */

import { p384 } from '@noble/curves/nist.js';

/** As certificates have them (RFC 5758 §3.2). */
const FORM = { format: 'der', prehash: true, lowS: false } as const;

/** Whether `signature` is DER and right, by the uncompressed point; false for anything else. Never throws. */
export function p384Verify(point: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return point.length === 97 && point[0] === 4 && p384.verify(signature, message, point, FORM);
  } catch {
    return false;
  }
}
