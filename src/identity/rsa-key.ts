/** RSA public keys in SPKI (RFC 4055 §1.2, RFC 8017 §A.1.1). */

import { readDer } from './der.ts';
import type { Oid } from './oid.ts';

/** RFC 4055 §1.2. */
export const RSA_ENCRYPTION: Oid = '1.2.840.113549.1.1.1';

/** The numbers in the bits of an RSA key, which may have a leading zero; `undefined` when they are malformed or negative. */
export function rsaNumbers(
  bits: Uint8Array,
): { readonly modulus: Uint8Array; readonly exponent: Uint8Array } | undefined {
  return readDer(bits, (reader) => {
    const inner = reader.sequence();
    const modulus = inner.integer();
    const exponent = inner.integer();
    inner.end();
    return modulus[0]! < 0x80 && exponent[0]! < 0x80 ? { modulus, exponent } : undefined;
  });
}
