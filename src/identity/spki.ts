/**
 * SubjectPublicKeyInfo and AlgorithmIdentifier (RFC 5280 §4.1.2.7), strictly: parameters are kept, trailing bytes and
 * unused bits are refused. For Ed25519 these are the bytes that go-p2p writes; for other algorithms go-p2p drops the
 * parameters, so there they differ.
 */

import { copyBytes, type Bytes } from '../base/bytes.ts';
import { derBitString, derOid, derSequence, readDer, type DerReader } from './der.ts';
import { type Oid } from './oid.ts';

/** An algorithm and, where it has them, its parameters. */
export interface AlgorithmIdentifier {
  readonly oid: Oid;
  /** One whole DER element, or undefined when absent. */
  readonly parameters?: Bytes | undefined;
}

/** A public key before anybody has looked at its bits. */
export interface SubjectPublicKeyInfo {
  readonly algorithm: AlgorithmIdentifier;
  /** What the algorithm says a key is: 32 bytes for Ed25519. */
  readonly bits: Bytes;
}

/** DER of an algorithm identifier. @throws {TypeError} when the OID is none. */
export function encodeAlgorithmIdentifier(algorithm: AlgorithmIdentifier): Bytes {
  return algorithm.parameters === undefined
    ? derSequence(derOid(algorithm.oid))
    : derSequence(derOid(algorithm.oid), algorithm.parameters);
}

/** @internal */
export function readAlgorithmIdentifier(reader: DerReader): AlgorithmIdentifier {
  const inner = reader.sequence();
  const oid = inner.oid();
  const parameters = inner.done ? undefined : copyBytes(inner.any());
  inner.end();
  return { oid, parameters };
}

/** DER of a public key. @throws {TypeError} when the OID is none. */
export function encodeSpki(info: SubjectPublicKeyInfo): Bytes {
  return derSequence(encodeAlgorithmIdentifier(info.algorithm), derBitString(info.bits));
}

/** The public key in `spki`, or `undefined` when it is not strict DER to the last byte. Never throws. */
export function decodeSpki(spki: Uint8Array): SubjectPublicKeyInfo | undefined {
  return readDer(spki, (reader) => {
    const outer = reader.sequence();
    const algorithm = readAlgorithmIdentifier(outer);
    const bits = outer.bitString();
    outer.end();
    return { algorithm, bits };
  });
}
