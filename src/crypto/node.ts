/** {@link CryptoSuite} on node:crypto. */

import * as crypto from 'node:crypto';
import { type Bytes, copyBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { hmacOver } from './hmac.ts';
import { isEd25519PublicKey, isLowOrderEd25519 } from './ed25519-points.ts';
import { isP256Scalar, p256Point, signP256 } from './p256.ts';
import { type RsaHash, usableRsaKey } from './rsa.ts';
import {
  AEAD_TAG_BYTES,
  type AeadKey,
  ECDSA_POINT_BYTES,
  type EcdsaCurve,
  type Ed25519PrivateKey,
  type HashName,
  type P256PrivateKey,
  type SignatureKey,
  type X25519PrivateKey,
} from './suite.ts';

export const cryptoName: string = 'node';

/** The same memory as a plain `Uint8Array`; node:crypto returns a `Buffer` that nothing else references. */
function plain(buffer: Buffer<ArrayBuffer>): Bytes {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

export function hash(name: HashName, data: Uint8Array): Bytes {
  return plain(crypto.hash(name, data, 'buffer'));
}

export function shake256(data: Uint8Array, outputBytes: number): Bytes {
  return plain(crypto.createHash('shake256', { outputLength: outputBytes }).update(data).digest());
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
  return new Uint8Array(crypto.hkdfSync(name, secret, salt, info, outputBytes));
}

/** RFC 8410 §7: PKCS#8 version 0, the algorithm, and the seed as an octet string in an octet string. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex');

function importSeed(prefix: Buffer, seed: Uint8Array): crypto.KeyObject {
  assertBytes(seed, 'seed', 32);
  const der = Buffer.concat([prefix, seed]);
  const key = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/** JWK, because importing and exporting DER uses OpenSSL's decoders: 50 µs and more, while JWK takes 5 µs. */
function importPoint(curve: 'Ed25519' | 'X25519', bytes: Uint8Array): crypto.KeyObject {
  return crypto.createPublicKey({ key: { kty: 'OKP', crv: curve, x: base64url(bytes) }, format: 'jwk' });
}

function publicPoint(privateKey: crypto.KeyObject): Bytes {
  const { x } = crypto.createPublicKey(privateKey).export({ format: 'jwk' });
  return new Uint8Array(Buffer.from(x!, 'base64url'));
}

class NodeEd25519PrivateKey implements Ed25519PrivateKey {
  readonly publicKey: Bytes;
  readonly #key: crypto.KeyObject;

  constructor(key: crypto.KeyObject) {
    this.#key = key;
    this.publicKey = publicPoint(key);
  }

  sign(message: Uint8Array): Bytes {
    return plain(crypto.sign(null, message, this.#key));
  }
}

class NodeEd25519PublicKey implements SignatureKey {
  readonly #key: crypto.KeyObject;

  constructor(key: crypto.KeyObject) {
    this.#key = key;
  }

  verify(message: Uint8Array, signature: Uint8Array): boolean {
    // OpenSSL compares the bytes of R with S·B − k·A, but only some of its versions refuse an R of low order.
    return (
      signature.length === 64 && !isLowOrderEd25519(signature) && crypto.verify(null, message, this.#key, signature)
    );
  }
}

class NodeX25519PrivateKey implements X25519PrivateKey {
  readonly publicKey: Bytes;
  readonly #key: crypto.KeyObject;

  constructor(key: crypto.KeyObject) {
    this.#key = key;
    this.publicKey = publicPoint(key);
  }

  sharedSecret(publicKey: Uint8Array): Bytes | undefined {
    if (publicKey.length !== 32) return undefined;
    try {
      const theirs = importPoint('X25519', publicKey);
      return plain(crypto.diffieHellman({ privateKey: this.#key, publicKey: theirs }));
    } catch {
      return undefined; // OpenSSL refuses an all-zero result: a point of low order (RFC 7748 §6.1)
    }
  }
}

export function ed25519PrivateKey(seed: Uint8Array): Ed25519PrivateKey {
  return new NodeEd25519PrivateKey(importSeed(PKCS8_ED25519, seed));
}

export function ed25519PublicKey(bytes: Uint8Array): SignatureKey | undefined {
  return isEd25519PublicKey(bytes) ? new NodeEd25519PublicKey(importPoint('Ed25519', bytes)) : undefined;
}

export function x25519PrivateKey(seed: Uint8Array): X25519PrivateKey {
  return new NodeX25519PrivateKey(importSeed(PKCS8_X25519, seed));
}

class NodeP256PrivateKey implements P256PrivateKey {
  readonly publicKey: Bytes;
  readonly #secret: Bytes;

  constructor(secret: Uint8Array) {
    this.#secret = copyBytes(secret);
    this.publicKey = p256Point(secret);
  }

  sign(message: Uint8Array): Bytes {
    return signP256(hash, hmac, this.#secret, message);
  }
}

export function p256PrivateKey(secret: Uint8Array): P256PrivateKey | undefined {
  return isP256Scalar(secret) ? new NodeP256PrivateKey(secret) : undefined;
}

const ECDSA = { 'p-256': { crv: 'P-256', hash: 'sha256' }, 'p-384': { crv: 'P-384', hash: 'sha384' } } as const;

export function ecdsaPublicKey(curve: EcdsaCurve, point: Uint8Array): SignatureKey | undefined {
  if (point.length !== ECDSA_POINT_BYTES[curve] || point[0] !== 4) return undefined;
  const { crv, hash: name } = ECDSA[curve];
  const half = (point.length + 1) / 2;
  const [x, y] = [base64url(point.subarray(1, half)), base64url(point.subarray(half))];
  try {
    const key = crypto.createPublicKey({ key: { kty: 'EC', crv, x, y }, format: 'jwk' });
    return { verify: (message, signature) => crypto.verify(name, message, key, signature) };
  } catch {
    return undefined; // OpenSSL refuses a point that is not on the curve
  }
}

export function rsaPublicKey(modulus: Uint8Array, exponent: Uint8Array, name: RsaHash): SignatureKey | undefined {
  const numbers = usableRsaKey(modulus, exponent);
  if (numbers === undefined) return undefined;
  const [n, e] = [base64url(numbers.modulus), base64url(numbers.exponent)];
  const key = crypto.createPublicKey({ key: { kty: 'RSA', n, e }, format: 'jwk' });
  const { length } = numbers.modulus;
  return {
    verify: (message, signature) =>
      signature.length === length &&
      crypto.verify(name, message, { key, padding: crypto.constants.RSA_PKCS1_PADDING }, signature),
  };
}

/** As `subarray`, without its look-up of the species. */
function viewOf(bytes: Uint8Array, start: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
}

type AeadCipher = 'chacha20-poly1305' | 'aes-128-gcm' | 'aes-256-gcm';
const CIPHER_OPTIONS = { authTagLength: AEAD_TAG_BYTES };

class NodeAeadKey implements AeadKey {
  readonly #cipher: AeadCipher;
  readonly #key: crypto.KeyObject;

  constructor(cipher: AeadCipher, key: Uint8Array) {
    this.#cipher = cipher;
    // A KeyObject instead of bytes: on Node 24 bytes cost 30 µs more per call.
    this.#key = crypto.createSecretKey(key);
  }

  seal(nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    const cipher = crypto.createCipheriv(this.#cipher as crypto.CipherGCMTypes, this.#key, nonce, CIPHER_OPTIONS);
    cipher.setAAD(associated, { plaintextLength: plaintext.length });
    out.set(cipher.update(plaintext), offset);
    cipher.final();
    out.set(cipher.getAuthTag(), offset + plaintext.length);
  }

  open(nonce: Uint8Array, associated: Uint8Array, sealed: Uint8Array, out: Uint8Array, offset: number): boolean {
    const length = sealed.length - AEAD_TAG_BYTES;
    if (length < 0) return false;
    const decipher = crypto.createDecipheriv(this.#cipher as crypto.CipherGCMTypes, this.#key, nonce, CIPHER_OPTIONS);
    decipher.setAAD(associated, { plaintextLength: length });
    decipher.setAuthTag(viewOf(sealed, length, AEAD_TAG_BYTES));
    const plaintext = decipher.update(viewOf(sealed, 0, length));
    try {
      decipher.final();
    } catch {
      return false;
    }
    out.set(plaintext, offset);
    return true;
  }
}

export function chacha20Poly1305(key: Uint8Array): AeadKey {
  assertBytes(key, 'key', 32);
  return new NodeAeadKey('chacha20-poly1305', key);
}

export function aesGcm(key: Uint8Array): AeadKey {
  assertBytes(key, 'key', key.length === 16 ? 16 : 32);
  return new NodeAeadKey(key.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm', key);
}
