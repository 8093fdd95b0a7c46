/**
 * The hash operations of a handshake, as pure functions: each takes the values of the previous step.
 *
 * Source: the Noise Protocol Framework, revision 34, §4.3 and §5.2.
 */

import { hash, hkdf } from '#crypto';
import { type Bytes, concatBytes, EMPTY_BYTES, encodeText } from '../../base/bytes.ts';
import type { HashName } from '../../crypto/suite.ts';
import type { NoiseHash } from './patterns.ts';

/** Bytes of a cipher key. */
export const KEY_BYTES = 32;

const HASHES: Readonly<Record<NoiseHash, { readonly name: HashName; readonly bytes: number }>> = {
  SHA256: { name: 'sha256', bytes: 32 },
  SHA512: { name: 'sha512', bytes: 64 },
  BLAKE2s: { name: 'blake2s256', bytes: 32 },
  BLAKE2b: { name: 'blake2b512', bytes: 64 },
};

/** Whether `name` is a supported hash. */
export function isNoiseHash(name: unknown): name is NoiseHash {
  return typeof name === 'string' && Object.hasOwn(HASHES, name);
}

/**
 * The initial value of both the hash and the chaining key: the name, padded or hashed. Source: §5.2
 * InitializeSymmetric.
 */
export function initialHash(noiseHash: NoiseHash, protocolName: string): Bytes {
  const { name, bytes } = HASHES[noiseHash];
  const text = encodeText(protocolName);
  return text.length > bytes ? hash(name, text) : concatBytes(text, new Uint8Array(bytes - text.length));
}

/** §5.2 MixHash. */
export function mixHash(noiseHash: NoiseHash, h: Uint8Array, data: Uint8Array): Bytes {
  return hash(HASHES[noiseHash].name, concatBytes(h, data));
}

/** §4.3 HKDF with `count` outputs, each as long as the hash. */
function derive(noiseHash: NoiseHash, chainingKey: Uint8Array, material: Uint8Array, count: number): Bytes[] {
  const { name, bytes } = HASHES[noiseHash];
  const output = hkdf(name, material, chainingKey, EMPTY_BYTES, count * bytes);
  return Array.from({ length: count }, (_, i) => output.slice(i * bytes, (i + 1) * bytes));
}

/** §5.2 MixKey: the next chaining key, and a cipher key. */
export function mixKey(
  noiseHash: NoiseHash,
  chainingKey: Uint8Array,
  material: Uint8Array,
): { readonly chainingKey: Bytes; readonly key: Bytes } {
  const [next, key] = derive(noiseHash, chainingKey, material, 2);
  return { chainingKey: next!, key: key!.subarray(0, KEY_BYTES) };
}

/** §5.2 MixKeyAndHash: as MixKey, plus a value to mix into the hash. */
export function mixKeyAndHash(
  noiseHash: NoiseHash,
  chainingKey: Uint8Array,
  material: Uint8Array,
): { readonly chainingKey: Bytes; readonly toHash: Bytes; readonly key: Bytes } {
  const [next, toHash, key] = derive(noiseHash, chainingKey, material, 3);
  return { chainingKey: next!, toHash: toHash!, key: key!.subarray(0, KEY_BYTES) };
}

/** The keys of the two directions after a handshake. */
export interface TransportKeys {
  readonly initiatorToResponder: Bytes;
  readonly responderToInitiator: Bytes;
}

/** §5.2 Split. */
export function split(noiseHash: NoiseHash, chainingKey: Uint8Array): TransportKeys {
  const { chainingKey: first, key } = mixKey(noiseHash, chainingKey, EMPTY_BYTES);
  return { initiatorToResponder: first.subarray(0, KEY_BYTES), responderToInitiator: key };
}
