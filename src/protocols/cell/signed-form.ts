/** The form of a signed cell: a length, the payload, and a signature over a hash of the payload. Source: docs/wire/cells.md. */

import { cshake256 } from '../../crypto/secretbox.ts';
import { type Bytes, concatBytes, copyBytes, encodeText } from '../../base/bytes.ts';

/** Bytes of the length in front. */
const LENGTH_BYTES = 4;
/** Bytes of an Ed25519 signature (RFC 8032 §5.1.6), the only kind in such cells. */
const SIGNATURE_BYTES = 64;
/** Bytes of the hash that is signed. */
const HASH_BYTES = 64;

/** Bytes by which a signed value exceeds its payload. */
export const SIGNED_OVERHEAD_BYTES: number = LENGTH_BYTES + SIGNATURE_BYTES;

/** What go-p2p's tracker signs for. */
export const TRACKER_PURPOSE = 'p2p/cell-tracker';

/** The 64 bytes that are signed: cSHAKE256 of the payload, customized by the purpose. */
export function signedHash(purpose: string, payload: Uint8Array): Bytes {
  return cshake256(encodeText(purpose), payload, HASH_BYTES);
}

/** Puts a payload and its signature together. */
export function encodeSigned(payload: Uint8Array, signature: Uint8Array): Bytes {
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, payload.length);
  return concatBytes(length, payload, signature);
}

/** Takes a value apart; `undefined` when it has another form. The signature is not verified. */
export function decodeSigned(value: Uint8Array): { readonly payload: Bytes; readonly signature: Bytes } | undefined {
  if (value.length < SIGNED_OVERHEAD_BYTES) return undefined;
  const length = new DataView(value.buffer, value.byteOffset, LENGTH_BYTES).getUint32(0);
  if (value.length !== length + SIGNED_OVERHEAD_BYTES) return undefined;
  const end = LENGTH_BYTES + length;
  return { payload: copyBytes(value.subarray(LENGTH_BYTES, end)), signature: copyBytes(value.subarray(end)) };
}
