/** PKCS#8 private keys (RFC 5958, RFC 5208), unencrypted. */

import type { Bytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { contextTag, der, derSequence, derUnsigned, readDer, TAG } from './der.ts';
import { encodeAlgorithmIdentifier, readAlgorithmIdentifier, type AlgorithmIdentifier } from './spki.ts';

/** RFC 5958 §2: the public key, a bit string with its own tag. */
const PUBLIC_KEY = contextTag(1, false);

/** A private key whose contents are not checked yet. */
export interface PrivateKeyInfo {
  readonly algorithm: AlgorithmIdentifier;
  /** The key in the form of its algorithm: for Ed25519 an octet string in this octet string (RFC 8410 §7). */
  readonly privateKey: Bytes;
  /** The public key that version 2 may contain. {@link encodePkcs8} writes none. */
  readonly publicKey?: Bytes | undefined;
}

/** DER of a private key, version 1 (number 0). @throws {TypeError} when the OID is invalid, or the key not bytes. */
export function encodePkcs8(info: PrivateKeyInfo): Bytes {
  assertBytes(info.privateKey, 'privateKey');
  return derSequence(
    derUnsigned(Uint8Array.of(0)),
    encodeAlgorithmIdentifier(info.algorithm),
    der(TAG.octetString, info.privateKey),
  );
}

/**
 * Decodes a private key; `undefined` when it is not strict DER without trailing bytes. Versions 1 and 2 are read,
 * attributes are skipped. Never throws.
 */
export function decodePkcs8(pkcs8: Uint8Array): PrivateKeyInfo | undefined {
  return readDer(pkcs8, (reader) => {
    const outer = reader.sequence();
    const version = outer.smallInteger();
    const algorithm = readAlgorithmIdentifier(outer);
    const privateKey = outer.octetString();
    if (outer.tag === contextTag(0, true)) outer.any();
    const publicKey = version === 1 && outer.tag === PUBLIC_KEY ? outer.bitString(PUBLIC_KEY) : undefined;
    outer.end();
    if (version > 1) return undefined;
    return publicKey === undefined ? { algorithm, privateKey } : { algorithm, privateKey, publicKey };
  });
}
