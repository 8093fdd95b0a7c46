/**
 * The cryptography that shoal needs, as one small synchronous interface. Two modules implement it function by function:
 * `node.ts` on node:crypto and `noble.ts` on the audited `@noble` packages; the import `#crypto` selects one by
 * condition.
 *
 * Nothing here uses randomness: keys are made from seed bytes, and signatures are deterministic.
 *
 * A mistake of the caller (a key of the wrong length) throws; invalid bytes from a peer (a bad point, a forged tag or
 * signature) give `undefined` or `false`.
 */

import type { Bytes } from '../base/bytes.ts';
import type { RsaHash } from './rsa.ts';

/**
 * The hash functions that both implementations have. MD5 and SHA-1 are broken as hash functions: they are here for protocols that prescribe them
 * (MD5 for the keys of TURN, RFC 8489 §9.2.2).
 */
export type HashName =
  | 'md5'
  | 'sha1'
  | 'sha256'
  | 'sha384'
  | 'sha512'
  | 'sha3-256'
  | 'sha3-512'
  | 'blake2b512'
  | 'blake2s256';

/** Block length of each hash in bytes, which HMAC needs (RFC 2104 §2; FIPS 202 table 3; RFC 7693 §2.1). */
export const HASH_BLOCK_BYTES: Readonly<Record<HashName, number>> = {
  md5: 64,
  sha1: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  'sha3-256': 136,
  'sha3-512': 72,
  blake2b512: 128,
  blake2s256: 64,
};

/** Bytes by which sealed text exceeds the plaintext (RFC 8439 §2.8). */
export const AEAD_TAG_BYTES = 16;

/**
 * An imported ChaCha20-Poly1305 (RFC 8439) or AES-GCM (NIST SP 800-38D) key. Its bytes cannot be read back.
 *
 * `seal` and `open` keep none of their arguments.
 */
export interface AeadKey {
  /**
   * Writes the sealed text, `plaintext.length + 16` bytes, into `out` at `offset`. The caller must never use a nonce
   * twice with one key.
   *
   * @param nonce - 12 bytes.
   * @param plaintext - must not overlap `out`.
   * @throws {RangeError} when `out` is too short.
   */
  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void;
  /**
   * Writes the plaintext, `sealed.length - 16` bytes, into `out` at `offset`, and returns true. Returns false when
   * `sealed` is forged, truncated or sealed with another nonce or other associated data; `out` then holds no plaintext.
   *
   * @param nonce - 12 bytes.
   * @param sealed - must not overlap `out`.
   * @throws {RangeError} when `out` is too short.
   */
  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean;
}

/** Imports a 32-byte ChaCha20-Poly1305 key. The type of implementations that replace the built-in one. */
export type ImportAeadKey = (key: Uint8Array) => AeadKey;

/** An Ed25519 private key (RFC 8032, pure, no context), imported once. */
export interface Ed25519PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Bytes;
  /** The 64-byte signature; deterministic. */
  sign(message: Uint8Array): Bytes;
}

/** A public key that checks signatures, imported once. */
export interface SignatureKey {
  /**
   * Whether `signature` is a signature of this key over `message`; false for any signature of the wrong length or form.
   * Never throws.
   */
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** The curves for verifying ECDSA signatures: P-256 with SHA-256, P-384 with SHA-384 (RFC 5480, RFC 5758). */
export type EcdsaCurve = 'p-256' | 'p-384';

/** Bytes of an uncompressed point (SEC 1 §2.3.3): 4, then x and y. */
export const ECDSA_POINT_BYTES: Readonly<Record<EcdsaCurve, number>> = { 'p-256': 65, 'p-384': 97 };

/** An ECDSA private key on P-256 (FIPS 186-5 §6), imported once. */
export interface P256PrivateKey {
  /** The uncompressed point, 65 bytes. */
  readonly publicKey: Bytes;
  /** The signature over the SHA-256 of `message`, as DER; the same bytes for the same message (RFC 6979). */
  sign(message: Uint8Array): Bytes;
}

/** An X25519 private key (RFC 7748), imported once. */
export interface X25519PrivateKey {
  /** 32 bytes. */
  readonly publicKey: Bytes;
  /** The 32-byte shared secret, or `undefined` when the other key is not 32 bytes or is a point of low order. */
  sharedSecret(publicKey: Uint8Array): Bytes | undefined;
}

/** Everything `#crypto` exports. */
export interface CryptoSuite {
  /** The name of the implementation: `'node'` or `'noble'`. */
  readonly cryptoName: string;
  hash(name: HashName, data: Uint8Array): Bytes;
  /** SHAKE256 (FIPS 202) with `outputBytes` bytes of output. */
  shake256(data: Uint8Array, outputBytes: number): Bytes;
  /** HMAC (RFC 2104). */
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Bytes;
  /**
   * HKDF (RFC 5869), extract and expand. With an empty `info` and an output of whole hash lengths it equals Noise's
   * HKDF.
   */
  hkdf(name: HashName, secret: Uint8Array, salt: Uint8Array, info: Uint8Array, outputBytes: number): Bytes;
  /** @throws {RangeError} when `seed` is not 32 bytes. */
  ed25519PrivateKey(seed: Uint8Array): Ed25519PrivateKey;
  /**
   * The key of these 32 bytes; `undefined` when they are not a usable key: wrong length, not a point in its only
   * encoding, or low order. All implementations use the same rule for signatures: `ed25519-points.ts`.
   */
  ed25519PublicKey(bytes: Uint8Array): SignatureKey | undefined;
  /** `undefined` when `secret` is not 32 bytes with a scalar from 1 to the order of the curve minus 1. */
  p256PrivateKey(secret: Uint8Array): P256PrivateKey | undefined;
  /** The key of an uncompressed point; `undefined` when it is not on the curve. Signatures are strict DER. */
  ecdsaPublicKey(curve: EcdsaCurve, point: Uint8Array): SignatureKey | undefined;
  /**
   * The RSA key of these numbers; `undefined` when it is not accepted (see `usableRsaKey`). Signatures are PKCS #1 v1.5
   * (RFC 8017 §8.2.2).
   */
  rsaPublicKey(modulus: Uint8Array, exponent: Uint8Array, name: RsaHash): SignatureKey | undefined;
  /** @throws {RangeError} when `seed` is not 32 bytes. */
  x25519PrivateKey(seed: Uint8Array): X25519PrivateKey;
  /** @throws {RangeError} when `key` is not 32 bytes. */
  chacha20Poly1305(key: Uint8Array): AeadKey;
  /**
   * AES-GCM with 12-byte nonces and 16-byte tags. Its plaintext and its sealed text may overlap `out`.
   *
   * @throws {RangeError} when `key` is neither 16 nor 32 bytes.
   */
  aesGcm(key: Uint8Array): AeadKey;
}
