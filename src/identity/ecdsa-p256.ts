/** ECDSA on P-256 as a key algorithm; in a separate file, so that programs with Ed25519 only do not load it. */

import { ecdsaPublicKey, p256PrivateKey } from '#crypto';
import { type Bytes, equalBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import type { P256PrivateKey } from '../crypto/suite.ts';
import { contextTag, der, derBitString, derOid, derSequence, derUnsigned, readDer, TAG } from './der.ts';
import { createKeyRegistry, ed25519, type KeyAlgorithm, type KeyRegistry } from './key-algorithm.ts';
import { OIDS } from './oid.ts';

/** RFC 5915 §3. */
const CURVE = contextTag(0, true);
const POINT = contextTag(1, true);

/** @throws {RangeError} when `secret` is not a scalar of the curve. */
function privateKeyOf(secret: Uint8Array): P256PrivateKey {
  assertBytes(secret, 'secret', 32);
  const key = p256PrivateKey(secret);
  if (key === undefined) throw new RangeError('Cannot take secret: it is not a P-256 scalar');
  return key;
}

const publicBits = (secret: Uint8Array): Bytes => privateKeyOf(secret).publicKey;

/** ECDSA on P-256 with SHA-256 (RFC 5480, RFC 5758, RFC 5915): the public key is an uncompressed point. */
export const ecdsaP256: KeyAlgorithm = {
  name: 'ecdsa-p256',
  identifier: { oid: OIDS.ecPublicKey, parameters: derOid(OIDS.prime256v1) },
  signatureIdentifier: { oid: OIDS.ecdsaWithSha256 },
  secretBytes: 32,
  isSecret: (secret) => p256PrivateKey(secret) !== undefined,
  publicBits,
  sign: (secret) => {
    const key = privateKeyOf(secret);
    return (message) => key.sign(message);
  },
  verify: (bits) => {
    const key = ecdsaPublicKey('p-256', bits);
    return key === undefined ? undefined : (message, signature) => key.verify(message, signature);
  },
  encodeSecret: (secret) =>
    derSequence(
      derUnsigned(Uint8Array.of(1)),
      der(TAG.octetString, secret),
      der(contextTag(1, true), derBitString(publicBits(secret))),
    ),
  decodeSecret: (octets) =>
    readDer(octets, (reader) => {
      const inner = reader.sequence();
      const version = inner.smallInteger();
      const secret = inner.octetString();
      if (version !== 1) return undefined;
      const key = p256PrivateKey(secret);
      if (key === undefined) return undefined;
      // Curve and point are repeated here (RFC 5915 §3), and must be those of the key.
      const curve = inner.tag === CURVE ? inner.contents(CURVE) : derOid(OIDS.prime256v1);
      const point = inner.tag === POINT ? inner.contents(POINT) : derBitString(key.publicKey);
      inner.end();
      if (!equalBytes(curve, derOid(OIDS.prime256v1))) return undefined;
      if (!equalBytes(point, derBitString(key.publicKey))) return undefined;
      return secret;
    }),
};

/** Ed25519 and ECDSA on P-256. */
export const defaultKeyRegistry: KeyRegistry = createKeyRegistry([ed25519, ecdsaP256]);
