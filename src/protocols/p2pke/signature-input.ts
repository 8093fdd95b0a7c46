/** What P2PKE signs: BLAKE2Xb-64 over purpose and message, so that a signature is valid for one purpose only. */

import { concatBytes, encodeText, type Bytes } from '../../base/bytes.ts';
import { blake2xb64 } from '../../crypto/blake2b.ts';

/** 64 bytes to sign. `purpose` is ASCII of at most 255 bytes. */
export function signatureInput(purpose: string, message: Uint8Array): Bytes {
  const text = encodeText(purpose);
  return blake2xb64(concatBytes(Uint8Array.of(text.length), text, message));
}
