/**
 * What shoal needs of cryptography, as one small synchronous interface. Two modules implement it function by function:
 * `node.ts` on node:crypto and `noble.ts` on the audited `@noble` packages; the import `#crypto` picks one by condition.
 *
 * Nothing here draws randomness: keys come from seed bytes, signatures are deterministic.
 *
 * What is over the caller's mistake (a key of the wrong length) throws; what is over bytes from a peer (a bad point, a
 * forged tag or signature) answers `undefined` or `false`.
 */

import { type Bytes } from '../base/bytes.ts';
import { type RsaHash } from './rsa.ts';

/** The hash functions that both implementations have. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sha3-256' | 'sha3-512' | 'blake2b512' | 'blake2s256';

/** Block length of each hash in bytes, which HMAC needs (RFC 2104 §2; FIPS 202 table 3; RFC 7693 §2.1). */
export const HASH_BLOCK_BYTES: Readonly<Record<HashName, number>> = {
  sha1: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  'sha3-256': 136,
  'sha3-512': 72,
  blake2b512: 128,
  blake2s256: 64,
};

/** Bytes by which sealed text is longer than plaintext (RFC 8439 §2.8). */
export const AEAD_TAG_BYTES = 16;

/**
 * A ChaCha20-Poly1305 key (RFC 8439), imported once and opaque from then on. Its bytes cannot be had back.
 *
 * `seal` and `open` keep none of their arguments.
 */
export interface AeadKey {
  /**
   * Writes the sealed text, `plaintext.length + 16` bytes, into `out` at `offset`. The caller sees to it that no nonce
   * comes twice with one key.
   *
   * @param nonce - 12 bytes.
   * @param plaintext - must not overlap `out`.
   * @throws {RangeError} when `out` is too short.
   */
  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void;
  /**
   * Writes the plaintext, `sealed.length - 16` bytes, into `out` at `offset`, and answers true; or false when `sealed`
   * is forged, cut off or sealed under another nonce or other associated data. Then `out` holds no plaintext.
   *
   * @param nonce - 12 bytes.
   * @param sealed - must not overlap `out`.
   * @throws {RangeError} when `out` is too short.
   */
  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean;
}

/** Imports a 32-byte ChaCha20-Poly1305 key. A faster implementation than the built-in one can be passed in as such. */
export type ImportAeadKey = (key: Uint8Array) => AeadKey;

/** An Ed25519 private key (RFC 8032, pure, no context), imported once. */
export interface Ed25519PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Bytes;
  /** The 64-byte signature; the same bytes for the same message. */
  sign(message: Uint8Array): Bytes;
}

/** A public key that checks signatures, imported once. */
export interface SignatureKey {
  /** Whether `signature` is this key's over `message`; false for any signature of the wrong length or form. Never throws. */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** The curves whose ECDSA signatures can be checked: P-256 with SHA-256, P-384 with SHA-384 (RFC 5480, RFC 5758). */
export type EcdsaCurve = 'p-256' | 'p-384';

/** Bytes of an uncompressed point (SEC 1 §2.3.3): 4, then x and y. */
export const ECDSA_POINT_BYTES: Readonly<Record<EcdsaCurve, number>> = { 'p-256': 65, 'p-384': 97 };

/** An X25519 private key (RFC 7748), imported once. */
export interface X25519PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Bytes;
  /** The 32-byte shared secret, or `undefined` when the other key is not 32 bytes or is a point of low order. */
  sharedSecret(publicKey: Uint8Array): Bytes | undefined;
}

/** Everything `#crypto` exports. */
export interface CryptoSuite {
  /** Which implementation this is: `'node'` or `'noble'`. */
  readonly cryptoName: string;
  hash(name: HashName, data: Uint8Array): Bytes;
  /** SHAKE256 (FIPS 202) with `outputBytes` bytes of output. */
  shake256(data: Uint8Array, outputBytes: number): Bytes;
  /** HMAC (RFC 2104). */
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Bytes;
  /** HKDF (RFC 5869), extract and expand. With an empty `info` and whole hash lengths it is Noise's HKDF. */
  hkdf(name: HashName, secret: Uint8Array, salt: Uint8Array, info: Uint8Array, outputBytes: number): Bytes;
  /** @throws {RangeError} when `seed` is not 32 bytes. */
  ed25519PrivateKey(seed: Uint8Array): Ed25519PrivateKey;
  /**
   * The key of these 32 bytes, or `undefined` when they are no usable key: wrong length, no point in
   * its only encoding, or low order. Signatures are judged by one rule everywhere: `ed25519-points.ts`.
   */
  ed25519PublicKey(bytes: Uint8Array): SignatureKey | undefined;
  /** The key of an uncompressed point, or `undefined` when it is none of the curve. Signatures are strict DER. */
  ecdsaPublicKey(curve: EcdsaCurve, point: Uint8Array): SignatureKey | undefined;
  /**
   * The RSA key of these numbers, or `undefined` when it is none that is taken (see `usableRsaKey`). Signatures are PKCS #1 v1.5
   * (RFC 8017 §8.2.2).
   */
  rsaPublicKey(modulus: Uint8Array, exponent: Uint8Array, name: RsaHash): SignatureKey | undefined;
  /** @throws {RangeError} when `seed` is not 32 bytes. */
  x25519PrivateKey(seed: Uint8Array): X25519PrivateKey;
  /** @throws {RangeError} when `key` is not 32 bytes. */
  chacha20Poly1305(key: Uint8Array): AeadKey;
}
