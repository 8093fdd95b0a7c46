/** Public keys in the wire format of SSH, and their fingerprints (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). */

import { hash, rsaPublicKey } from '#crypto';
import { type Bytes, concatBytes, decodeText, EMPTY_BYTES, encodeText, equalBytes } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';
import { der, derSequence, derUnsigned, TAG } from './der.ts';
import { defaultKeyRegistry, ecdsaP256 } from './ecdsa-p256.ts';
import { ed25519, type KeyAlgorithm } from './key-algorithm.ts';
import { OIDS } from './oid.ts';
import { RSA_ENCRYPTION, rsaNumbers } from './rsa-key.ts';
import { decodeSpki, encodeSpki, type SubjectPublicKeyInfo } from './spki.ts';

/** The identifier of RSA keys has NULL as its parameters (RFC 3279 §2.3.1). */
const RSA = { oid: RSA_ENCRYPTION, parameters: der(TAG.null, EMPTY_BYTES) } as const;

/** The names of keys in SSH. RSA keys have one name, and several for their signatures. */
const ECDSA_NAME = 'ecdsa-sha2-nistp256';
const ECDSA_CURVE = 'nistp256';
const RSA_NAME = 'ssh-rsa';

function sshString(bytes: Uint8Array): Bytes {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return concatBytes(length, bytes);
}

/** A positive number as mpint (RFC 4251 §5); leading zeros are dropped. */
export function sshNumber(bytes: Uint8Array): Bytes {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  return sshString(digits.length > 0 && digits[0]! >= 0x80 ? concatBytes(Uint8Array.of(0), digits) : digits);
}

/** The strings that `wire` consists of; `undefined` when it is cut off, or has more than `count`. */
export function splitSshStrings(wire: Uint8Array, count: number): readonly Bytes[] | undefined {
  const view = new DataView(wire.buffer, wire.byteOffset, wire.byteLength);
  const strings: Bytes[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 4 > wire.length) return undefined;
    const end = at + 4 + view.getUint32(at);
    if (end > wire.length) return undefined;
    strings.push(wire.slice(at + 4, end));
    at = end;
  }
  return at === wire.length ? strings : undefined;
}

/**
 * A public key in the wire format of SSH.
 *
 * @throws {TypeError} when the key is neither Ed25519, P-256 nor RSA.
 */
export function sshWireKey(publicKey: PublicKey): Bytes {
  const info = decodeSpki(publicKey.spki);
  if (info?.algorithm.oid === OIDS.ed25519) {
    return concatBytes(sshString(encodeText('ssh-ed25519')), sshString(info.bits));
  }
  if (info !== undefined && isOf(info, ecdsaP256)) {
    const names = [ECDSA_NAME, ECDSA_CURVE].map((name) => sshString(encodeText(name)));
    return concatBytes(...names, sshString(info.bits));
  }
  const numbers = info?.algorithm.oid === RSA_ENCRYPTION ? rsaNumbers(info.bits) : undefined;
  if (numbers !== undefined) {
    return concatBytes(sshString(encodeText(RSA_NAME)), sshNumber(numbers.exponent), sshNumber(numbers.modulus));
  }
  throw new TypeError(`Cannot write SSH key: expected ed25519, ecdsa-p256 or RSA, got ${publicKey.algorithm}`);
}

function isOf({ algorithm }: SubjectPublicKeyInfo, { identifier }: KeyAlgorithm): boolean {
  const [own, other] = [algorithm.parameters ?? EMPTY_BYTES, identifier.parameters ?? EMPTY_BYTES];
  return algorithm.oid === identifier.oid && equalBytes(own, other);
}

/** A key of a peer that can check signatures. */
export interface SshKey {
  /** `ssh-ed25519`, `ecdsa-sha2-nistp256` or `ssh-rsa`. */
  readonly name: string;
  readonly publicKey: PublicKey;
  /** Whether a blob (name and signature, RFC 4253 §6.6) is a signature of this key with this algorithm. Never throws. */
  verify(algorithm: string, message: Uint8Array, blob: Uint8Array): boolean;
}

/** Decodes a key that a peer sent; `undefined` when it is malformed, unusable, or of another algorithm. Never throws. */
export function decodeSshKey(wire: Uint8Array): SshKey | undefined {
  const name = decodeText(firstString(wire) ?? EMPTY_BYTES) ?? '';
  switch (name) {
    case 'ssh-ed25519': {
      const bits = splitSshStrings(wire, 2)?.[1];
      return bits === undefined ? undefined : ofRegistry(name, ed25519, bits, (signature) => signature);
    }
    case ECDSA_NAME: {
      const parts = splitSshStrings(wire, 3);
      if (parts === undefined || decodeText(parts[1]!) !== ECDSA_CURVE) return undefined;
      return ofRegistry(name, ecdsaP256, parts[2]!, ecdsaSignature);
    }
    case RSA_NAME: {
      const parts = splitSshStrings(wire, 3);
      return parts === undefined ? undefined : rsaKey(parts[1]!, parts[2]!);
    }
    default:
      return undefined;
  }
}

function firstString(wire: Uint8Array): Bytes | undefined {
  if (wire.length < 4) return undefined;
  const length = new DataView(wire.buffer, wire.byteOffset).getUint32(0);
  return length > 64 || 4 + length > wire.length ? undefined : wire.slice(4, 4 + length);
}

/** The signature in a blob with this algorithm's name. */
function signatureIn(blob: Uint8Array, algorithm: string): Bytes | undefined {
  const parts = splitSshStrings(blob, 2);
  return parts !== undefined && decodeText(parts[0]!) === algorithm ? parts[1] : undefined;
}

/** @param convert - the form of a signature that the registry checks; `undefined` when it is malformed. */
function ofRegistry(
  name: string,
  algorithm: KeyAlgorithm,
  bits: Bytes,
  convert: (signature: Bytes) => Bytes | undefined,
): SshKey | undefined {
  const verifier = defaultKeyRegistry.verifier(encodeSpki({ algorithm: algorithm.identifier, bits }));
  if (verifier === undefined) return undefined;
  return {
    name,
    publicKey: verifier.publicKey,
    verify: (wanted, message, blob) => {
      const signature = wanted === name ? signatureIn(blob, name) : undefined;
      const converted = signature === undefined ? undefined : convert(signature);
      return converted !== undefined && verifier.verify(message, converted);
    },
  };
}

/** An mpint that is positive and in its shortest form. */
function positive(number: Uint8Array, maxBytes: number): Bytes | undefined {
  if (number.length === 0 || number.length > maxBytes + 1 || number[0]! >= 0x80) return undefined;
  if (number[0] === 0 && (number.length === 1 || number[1]! < 0x80)) return undefined;
  return number[0] === 0 ? number.slice(1) : number.slice();
}

/** SSH writes r and s as mpints (RFC 5656 §3.1.2); the registry takes DER. */
function ecdsaSignature(signature: Bytes): Bytes | undefined {
  const parts = splitSshStrings(signature, 2);
  const [r, s] = [positive(parts?.[0] ?? EMPTY_BYTES, 32), positive(parts?.[1] ?? EMPTY_BYTES, 32)];
  return r === undefined || s === undefined ? undefined : derSequence(derUnsigned(r), derUnsigned(s));
}

/** Signatures of RSA keys (RFC 8332 §3); `ssh-rsa` itself is SHA-1, which nobody may use. */
const RSA_HASHES = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' } as const;

function rsaKey(exponent: Bytes, modulus: Bytes): SshKey | undefined {
  const [e, n] = [positive(exponent, 3), positive(modulus, 1024)];
  if (e === undefined || n === undefined || rsaPublicKey(n, e, 'sha256') === undefined) return undefined;
  const spki = encodeSpki({ algorithm: RSA, bits: derSequence(derUnsigned(n), derUnsigned(e)) });
  return {
    name: RSA_NAME,
    publicKey: { algorithm: RSA_ENCRYPTION, spki },
    verify: (wanted, message, blob) => {
      if (!Object.hasOwn(RSA_HASHES, wanted)) return false;
      const signature = signatureIn(blob, wanted);
      const key = rsaPublicKey(n, e, RSA_HASHES[wanted as keyof typeof RSA_HASHES]);
      return signature !== undefined && key!.verify(message, signature);
    },
  };
}

/** The 32 bytes of OpenSSH's fingerprint. @throws {TypeError} as {@link sshWireKey}. */
export function sshFingerprintBytes(publicKey: PublicKey): Bytes {
  return hash('sha256', sshWireKey(publicKey));
}

/** OpenSSH's text of these 32 bytes: `SHA256:` and unpadded base64. */
export function sshFingerprintText(bytes: Uint8Array): string {
  return `SHA256:${btoa(String.fromCharCode(...bytes)).replaceAll('=', '')}`;
}

/** OpenSSH's fingerprint: `SHA256:` and unpadded base64. @throws {TypeError} as {@link sshWireKey}. */
export function sshFingerprint(publicKey: PublicKey): string {
  return sshFingerprintText(sshFingerprintBytes(publicKey));
}
