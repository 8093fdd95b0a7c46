/**
 * Signatures for applications: over a context and bytes, in a form that no protocol of shoal uses. So nobody can obtain
 * a signature of a peer record, a handshake or a certificate from an identity key by asking it to sign "a challenge".
 *
 * Source: docs/wire/signed-text.md.
 */

import { type Bytes, concatBytes, encodeText } from '../base/bytes.ts';
import { assertBytes, assertString } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import { defaultKeyRegistry } from './ecdsa-p256.ts';
import type { KeyRegistry } from './key-algorithm.ts';

/**
 * The prefix of all signed bytes here. Other things that these keys sign begin differently: `shoal peer record`,
 * `shoal beacon`, `shoal/noise/static-key`, the 64 spaces of TLS 1.3, the DER of certificates; P2PKE signs hashes.
 */
const PREFIX: Bytes = encodeText('shoal signed text 1\0');
const MAX_CONTEXT_BYTES = 255;

/** The bytes that are signed. @throws {TypeError | RangeError} as {@link verifyText}. @internal */
export function signedTextBytes(context: string, bytes: Uint8Array): Bytes {
  assertString(context, 'context');
  if (!context.isWellFormed()) throw new TypeError('Cannot take context: it has half a surrogate pair');
  assertBytes(bytes, 'bytes');
  const name = encodeText(context);
  if (name.length === 0 || name.length > MAX_CONTEXT_BYTES) {
    throw new RangeError(`Cannot take context: expected 1 to ${MAX_CONTEXT_BYTES} bytes, got ${name.length}`);
  }
  return concatBytes(PREFIX, Uint8Array.of(name.length), name, bytes);
}

/**
 * Whether `signature` was made by `PrivateKey.signText` with this key over the same context and bytes. False for any
 * other signature, including one by `PrivateKey.sign`, and for keys whose algorithm the registry does not know.
 *
 * @param context - 1 to 255 bytes of UTF-8.
 * @throws {TypeError | RangeError} for an invalid context, and for bytes or a signature that are not a Uint8Array.
 *
 * @example
 * ```ts
 * const signature = privateKey.signText('example.org/login 1', challenge);
 * verifyText(privateKey.publicKey, 'example.org/login 1', challenge, signature); // true
 * ```
 */
export function verifyText(
  publicKey: PublicKey,
  context: string,
  bytes: Uint8Array,
  signature: Uint8Array,
  options: { readonly registry?: KeyRegistry | undefined } = {},
): boolean {
  const signed = signedTextBytes(context, bytes);
  assertBytes(signature, 'signature');
  const { registry = defaultKeyRegistry } = options;
  return registry.verifier(publicKey.spki)?.verify(signed, signature) === true;
}
