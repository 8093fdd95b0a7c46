/**
 * Key algorithms and registries of them. Ed25519 is here, ECDSA in `ecdsa-p256.ts`; applications can implement a {@link
 * KeyAlgorithm} and pass it to {@link createKeyRegistry}.
 */

import { ed25519PrivateKey, ed25519PublicKey } from '#crypto';
import { copyBytes, equalBytes, type Bytes } from '../base/bytes.ts';
import { assertBytes, describeName } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import { der, readDer, TAG } from './der.ts';
import { OIDS, type Oid } from './oid.ts';
import { decodePkcs8, encodePkcs8 } from './pkcs8.ts';
import { decodeSpki, encodeSpki, type AlgorithmIdentifier } from './spki.ts';

/** Checks signatures of one key. */
export interface Verifier {
  readonly publicKey: PublicKey;
  /** Whether `signature` is a signature of this key over `message`. Never throws. */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** Signs with one key, by any means. */
export interface Signer {
  readonly publicKey: PublicKey;
  sign(message: Uint8Array): Bytes;
}

/** What shoal needs for using keys of an algorithm. */
export interface KeyAlgorithm {
  /** The value of `PublicKey.algorithm`. */
  readonly name: string;
  /** Its identifier in SPKI and PKCS#8. */
  readonly identifier: AlgorithmIdentifier;
  /** The identifier of its signatures in certificates. */
  readonly signatureIdentifier: AlgorithmIdentifier;
  /** Bytes of the secret that {@link KeyAlgorithm.sign} takes. */
  readonly secretBytes: number;
  /** Whether these bytes can be a secret. */
  isSecret(secret: Uint8Array): boolean;
  /** The bits of the public key of a secret. */
  publicBits(secret: Uint8Array): Bytes;
  /** A signing function for a secret; called once per key, so keys are imported here. */
  sign(secret: Uint8Array): (message: Uint8Array) => Bytes;
  /** A checking function for public bits; `undefined` when they are not a usable key. */
  verify(bits: Uint8Array): ((message: Uint8Array, signature: Uint8Array) => boolean) | undefined;
  /** The PKCS#8 octets of a secret. */
  encodeSecret(secret: Uint8Array): Bytes;
  /** The secret in those octets, or `undefined`. Never throws. */
  decodeSecret(octets: Uint8Array): Bytes | undefined;
}

/** Ed25519 (RFC 8032, RFC 8410): public key 32 bytes, secret a 32-byte seed, signature 64 bytes. */
export const ed25519: KeyAlgorithm = {
  name: 'ed25519',
  identifier: { oid: OIDS.ed25519 },
  signatureIdentifier: { oid: OIDS.ed25519 },
  secretBytes: 32,
  isSecret: (secret) => secret.length === 32,
  publicBits: (secret) => ed25519PrivateKey(secret).publicKey,
  sign: (secret) => {
    const key = ed25519PrivateKey(secret);
    return (message) => key.sign(message);
  },
  verify: (bits) => {
    const key = ed25519PublicKey(bits);
    return key === undefined ? undefined : (message, signature) => key.verify(message, signature);
  },
  encodeSecret: (secret) => der(TAG.octetString, secret),
  decodeSecret: (octets) => readDer(octets, (reader) => reader.octetString()),
};

/** A decoded private key. It contains the secret in the clear, so do not keep it. */
export interface DecodedPrivateKey {
  readonly algorithm: KeyAlgorithm;
  readonly secret: Bytes;
}

/** A set of key algorithms. */
export interface KeyRegistry {
  /** Bounded by the algorithms it was made with. */
  readonly algorithms: readonly KeyAlgorithm[];
  /** The algorithm with that name, or `undefined`. */
  byName(name: string): KeyAlgorithm | undefined;
  /** The public key in `spki`; `algorithm` is the OID when this registry does not know it. Never throws. */
  parsePublicKey(spki: Uint8Array): PublicKey | undefined;
  /**
   * A verifier for an SPKI; `undefined` when its algorithm is unknown here or its bits are not a usable key. Never
   * throws.
   */
  verifier(spki: Uint8Array): Verifier | undefined;
  /** A signer for a secret of the named algorithm. @throws {TypeError} {RangeError} when there is no such key. */
  signer(name: string, secret: Uint8Array): Signer;
  /** PKCS#8 of a secret. @throws {TypeError} when the algorithm is unknown here. */
  encodePrivateKey(name: string, secret: Uint8Array): Bytes;
  /** The secret in a PKCS#8; `undefined` when it is malformed or its algorithm is unknown here. Never throws. */
  decodePrivateKey(pkcs8: Uint8Array): DecodedPrivateKey | undefined;
}

function sameIdentifier(a: AlgorithmIdentifier, b: AlgorithmIdentifier): boolean {
  if (a.oid !== b.oid) return false;
  if (a.parameters === undefined || b.parameters === undefined) return a.parameters === b.parameters;
  return equalBytes(a.parameters, b.parameters);
}

/** The SPKI of a secret's public key. */
function spkiOf(algorithm: KeyAlgorithm, secret: Uint8Array): Bytes {
  return encodeSpki({ algorithm: algorithm.identifier, bits: algorithm.publicBits(secret) });
}

/**
 * Creates a registry of `algorithms`.
 *
 * @throws {TypeError} when two of them have the same name or identifier.
 */
export function createKeyRegistry(algorithms: readonly KeyAlgorithm[]): KeyRegistry {
  const known = [...algorithms];
  for (const [i, algorithm] of known.entries()) {
    const clash = known
      .slice(0, i)
      .some((other) => other.name === algorithm.name || sameIdentifier(other.identifier, algorithm.identifier));
    if (clash) throw new TypeError(`Cannot make key registry: ${algorithm.name} is registered twice`);
  }
  const byName = (name: string): KeyAlgorithm | undefined => known.find((algorithm) => algorithm.name === name);
  const find = (identifier: AlgorithmIdentifier): KeyAlgorithm | undefined =>
    known.find((algorithm) => sameIdentifier(algorithm.identifier, identifier));
  const demand = (name: string): KeyAlgorithm => {
    const algorithm = byName(name);
    if (algorithm !== undefined) return algorithm;
    const names = known.map((each) => each.name).join(', ');
    throw new TypeError(`Cannot take key algorithm: expected one of ${names}, got ${describeName(name)}`);
  };
  const nameOf = (oid: Oid, algorithm: KeyAlgorithm | undefined): string => algorithm?.name ?? oid;

  return {
    algorithms: known,
    byName,
    parsePublicKey(spki) {
      const info = decodeSpki(spki);
      if (info === undefined) return undefined;
      return { algorithm: nameOf(info.algorithm.oid, find(info.algorithm)), spki: copyBytes(spki) };
    },
    verifier(spki) {
      const info = decodeSpki(spki);
      const algorithm = info === undefined ? undefined : find(info.algorithm);
      const verify = algorithm?.verify(info!.bits);
      if (verify === undefined) return undefined;
      return { publicKey: { algorithm: algorithm!.name, spki: copyBytes(spki) }, verify };
    },
    signer(name, secret) {
      const algorithm = demand(name);
      assertBytes(secret, `${name} secret`, algorithm.secretBytes);
      if (!algorithm.isSecret(secret)) throw new RangeError(`Cannot take ${name} secret: it is not a key`);
      return { publicKey: { algorithm: name, spki: spkiOf(algorithm, secret) }, sign: algorithm.sign(secret) };
    },
    encodePrivateKey(name, secret) {
      const algorithm = demand(name);
      return encodePkcs8({ algorithm: algorithm.identifier, privateKey: algorithm.encodeSecret(secret) });
    },
    decodePrivateKey(pkcs8) {
      const info = decodePkcs8(pkcs8);
      const algorithm = info === undefined ? undefined : find(info.algorithm);
      const secret = algorithm?.decodeSecret(info!.privateKey);
      if (algorithm === undefined || secret === undefined || !algorithm.isSecret(secret)) return undefined;
      // A file with two parts of different keys is damaged, or an attack.
      const { publicKey } = info!;
      if (publicKey !== undefined && !equalBytes(publicKey, algorithm.publicBits(secret))) return undefined;
      return { algorithm, secret };
    },
  };
}

/**
 * The public key in `spki`; `undefined` when it is malformed, or when the registry knows its algorithm and its bits can
 * never verify a signature. Never throws. @internal
 */
export function usablePublicKey(registry: KeyRegistry, spki: Uint8Array): PublicKey | undefined {
  const verifier = registry.verifier(spki);
  if (verifier !== undefined) return verifier.publicKey;
  const key = registry.parsePublicKey(spki);
  const oid = decodeSpki(spki)?.algorithm.oid;
  const isKnown = registry.algorithms.some(({ name, identifier }) => {
    return name === key?.algorithm || (identifier.oid === oid && identifier.parameters === undefined);
  });
  return isKnown ? undefined : key;
}

/** Whether two public keys are equal. The time does not depend on where they differ. */
export function equalPublicKeys(a: PublicKey, b: PublicKey): boolean {
  return equalBytes(a.spki, b.spki);
}
