/** {@link CryptoSuite} on the audited `@noble` packages: for browsers, and all platforms without node:crypto. */

import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { blake2b, blake2s } from '@noble/hashes/blake2.js';
import { md5, sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { sha3_256, sha3_512, shake256 as nobleShake256 } from '@noble/hashes/sha3.js';
import { concatBytes, copyBytes, equalBytes, type Bytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { hkdfOver, hmacOver } from './hmac.ts';
import { isEd25519PublicKey, isLowOrderEd25519, littleEndian } from './ed25519-points.ts';
import { type RsaHash, usableRsaKey } from './rsa.ts';
import { rsaVerify } from './rsa-verify.ts';
import {
  AEAD_TAG_BYTES,
  type AeadKey,
  ECDSA_POINT_BYTES,
  type EcdsaCurve,
  type Ed25519PrivateKey,
  type P256PrivateKey,
  type HashName,
  type SignatureKey,
  type X25519PrivateKey,
} from './suite.ts';

export const cryptoName: string = 'noble';

const HASHES: Readonly<Record<HashName, (data: Uint8Array) => Uint8Array>> = {
  md5,
  sha1,
  sha256,
  sha384,
  sha512,
  'sha3-256': sha3_256,
  'sha3-512': sha3_512,
  blake2b512: blake2b,
  blake2s256: blake2s,
};

/** The @noble packages return plain arrays over their own buffers, but not all of their types say so. */
function plain(bytes: Uint8Array): Bytes {
  return bytes as Bytes;
}

export function hash(name: HashName, data: Uint8Array): Bytes {
  return plain(HASHES[name](data));
}

export function shake256(data: Uint8Array, outputBytes: number): Bytes {
  return plain(nobleShake256(data, { dkLen: outputBytes }));
}

export function hmac(name: HashName, key: Uint8Array, data: Uint8Array): Bytes {
  return hmacOver(hash, name, key, data);
}

export function hkdf(
  name: HashName,
  secret: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  outputBytes: number,
): Bytes {
  return hkdfOver(hash, name, secret, salt, info, outputBytes);
}

class NobleEd25519PrivateKey implements Ed25519PrivateKey {
  readonly publicKey: Bytes;
  readonly #seed: Bytes;

  constructor(seed: Uint8Array) {
    this.#seed = copyBytes(seed);
    this.publicKey = plain(ed25519.getPublicKey(seed));
  }

  sign(message: Uint8Array): Bytes {
    return plain(ed25519.sign(message, this.#seed));
  }
}

/** ℓ, the order of the base point (RFC 8032 §5.1). */
const ORDER = ed25519.Point.Fn.ORDER;

/**
 * The equation without the cofactor, comparing the bytes of R, as OpenSSL and libsodium compute it; noble's own
 * `verify` multiplies by the cofactor and so accepts more.
 */
class NobleEd25519PublicKey implements SignatureKey {
  readonly #bytes: Bytes;
  readonly #negated: typeof ed25519.Point.BASE;

  constructor(bytes: Uint8Array) {
    this.#bytes = copyBytes(bytes);
    this.#negated = ed25519.Point.fromBytes(this.#bytes).negate();
  }

  verify(message: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== 64 || isLowOrderEd25519(signature)) return false;
    const r = signature.subarray(0, 32);
    const s = littleEndian(signature.subarray(32));
    if (s >= ORDER) return false;
    const k = littleEndian(sha512(concatBytes(r, this.#bytes, message))) % ORDER;
    const { BASE } = ed25519.Point;
    return equalBytes(BASE.multiplyUnsafe(s).add(this.#negated.multiplyUnsafe(k)).toBytes(), r);
  }
}

class NobleX25519PrivateKey implements X25519PrivateKey {
  readonly publicKey: Bytes;
  readonly #seed: Bytes;

  constructor(seed: Uint8Array) {
    this.#seed = copyBytes(seed);
    this.publicKey = plain(x25519.getPublicKey(seed));
  }

  sharedSecret(publicKey: Uint8Array): Bytes | undefined {
    if (publicKey.length !== 32) return undefined;
    try {
      return plain(x25519.getSharedSecret(this.#seed, publicKey));
    } catch {
      return undefined; // an all-zero result: a point of low order (RFC 7748 §6.1)
    }
  }
}

export function ed25519PrivateKey(seed: Uint8Array): Ed25519PrivateKey {
  assertBytes(seed, 'seed', 32);
  return new NobleEd25519PrivateKey(seed);
}

export function ed25519PublicKey(bytes: Uint8Array): SignatureKey | undefined {
  return isEd25519PublicKey(bytes) ? new NobleEd25519PublicKey(bytes) : undefined;
}

export function x25519PrivateKey(seed: Uint8Array): X25519PrivateKey {
  assertBytes(seed, 'seed', 32);
  return new NobleX25519PrivateKey(seed);
}

const CURVES = { 'p-256': p256, 'p-384': p384 } as const;

/** X.509 requires ECDSA signatures as DER, and accepts both values of s (RFC 5758 §3.2). */
const ECDSA_FORM = { format: 'der', prehash: true, lowS: false } as const;

class NobleP256PrivateKey implements P256PrivateKey {
  readonly publicKey: Bytes;
  readonly #secret: Bytes;

  constructor(secret: Uint8Array) {
    this.#secret = copyBytes(secret);
    this.publicKey = plain(p256.getPublicKey(secret, false));
  }

  sign(message: Uint8Array): Bytes {
    return plain(p256.sign(message, this.#secret, ECDSA_FORM));
  }
}

export function p256PrivateKey(secret: Uint8Array): P256PrivateKey | undefined {
  return secret.length === 32 && p256.utils.isValidSecretKey(secret) ? new NobleP256PrivateKey(secret) : undefined;
}

export function ecdsaPublicKey(curve: EcdsaCurve, point: Uint8Array): SignatureKey | undefined {
  const { utils, verify } = CURVES[curve];
  if (point.length !== ECDSA_POINT_BYTES[curve] || !utils.isValidPublicKey(point, false)) return undefined;
  const own = copyBytes(point);
  return {
    verify: (message, signature) => {
      try {
        return verify(signature, message, own, ECDSA_FORM);
      } catch {
        return false; // not strict DER, or numbers out of range
      }
    },
  };
}

export function rsaPublicKey(modulus: Uint8Array, exponent: Uint8Array, name: RsaHash): SignatureKey | undefined {
  const numbers = usableRsaKey(modulus, exponent);
  if (numbers === undefined) return undefined;
  const own = { modulus: copyBytes(numbers.modulus), exponent: copyBytes(numbers.exponent) };
  return { verify: (message, signature) => rsaVerify(own, name, hash(name, message), signature) };
}

class NobleAeadKey implements AeadKey {
  readonly #cipher: typeof chacha20poly1305 | typeof gcm;
  readonly #key: Bytes;

  constructor(cipher: typeof chacha20poly1305 | typeof gcm, key: Uint8Array) {
    this.#cipher = cipher;
    this.#key = copyBytes(key);
  }

  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    const length = plaintext.length + AEAD_TAG_BYTES;
    if (offset + length > out.length) throw new RangeError('Cannot seal: out is too short');
    out.set(this.#cipher(this.#key, nonce, associated).encrypt(plaintext), offset);
  }

  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean {
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return false;
    if (offset + length > out.length) throw new RangeError('Cannot open: out is too short');
    let plaintext: Uint8Array;
    try {
      plaintext = this.#cipher(this.#key, nonce, associated).decrypt(sealed);
    } catch {
      return false;
    }
    out.set(plaintext, offset);
    return true;
  }
}

export function chacha20Poly1305(key: Uint8Array): AeadKey {
  assertBytes(key, 'key', 32);
  return new NobleAeadKey(chacha20poly1305, key);
}

export function aesGcm(key: Uint8Array): AeadKey {
  assertBytes(key, 'key', key.length === 16 ? 16 : 32);
  return new NobleAeadKey(gcm, key);
}
