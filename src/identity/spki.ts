/**
 * SubjectPublicKeyInfo and AlgorithmIdentifier (RFC 5280 §4.1.2.7), parsed strictly: parameters are kept, trailing
 * bytes and unused bits are refused. For Ed25519 go-p2p writes the same bytes; for other algorithms go-p2p drops the
 * parameters, so the bytes differ.
 */

import { copyBytes, type Bytes } from '../base/bytes.ts';
import { derBitString, derOid, derSequence, readDer, type DerReader } from './der.ts';
import type { Oid } from './oid.ts';

/** An algorithm with its optional parameters. */
export interface AlgorithmIdentifier {
  readonly oid: Oid;
  /** One whole DER element, or undefined when absent. */
  readonly parameters?: Bytes | undefined;
}

/** A public key whose bits are not checked yet. */
export interface SubjectPublicKeyInfo {
  readonly algorithm: AlgorithmIdentifier;
  /** The key in the form of its algorithm: 32 bytes for Ed25519. */
  readonly bits: Bytes;
}

/** DER of an algorithm identifier. @throws {TypeError} when the OID is invalid. */
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

/** DER of a public key. @throws {TypeError} when the OID is invalid. */
export function encodeSpki(info: SubjectPublicKeyInfo): Bytes {
  return derSequence(encodeAlgorithmIdentifier(info.algorithm), derBitString(info.bits));
}

/** Decodes a public key; `undefined` when it is not strict DER without trailing bytes. Never throws. */
export function decodeSpki(spki: Uint8Array): SubjectPublicKeyInfo | undefined {
  return readDer(spki, (reader) => {
    const outer = reader.sequence();
    const algorithm = readAlgorithmIdentifier(outer);
    const bits = outer.bitString();
    outer.end();
    return { algorithm, bits };
  });
}
