/** Imports and exports keys of files and other programs. */

import { type Bytes, decodeText } from '../base/bytes.ts';
import { describeKind, describeName } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import { defaultKeyRegistry } from './ecdsa-p256.ts';
import { type KeyRegistry, usablePublicKey } from './key-algorithm.ts';
import { OIDS } from './oid.ts';
import { decodePem, encodePem, pemFault } from './pem.ts';
import { decodePkcs8 } from './pkcs8.ts';
import { decodeSpki, encodeSpki } from './spki.ts';
import { privateKeyOf, secretOf, type PrivateKey } from './private-key.ts';

/**
 * The format of a private key:
 *
 * - `pem`: PKCS#8 in PEM (`-----BEGIN PRIVATE KEY-----`), which openssl and most programs read;
 * - `pkcs8`: the DER in it;
 * - `seed`: only the 32 bytes of an Ed25519 key;
 * - `go-p2p`: go-p2p's own form of an Ed25519 key, with the seed in the place of a public key's point. **Warning: it
 *   looks like a public key.** Treating it as a public key publishes the secret; so it is read and written only when
 *   named.
 */
export type PrivateKeyFormat = 'pem' | 'pkcs8' | 'seed' | 'go-p2p';

/** Options of an import. */
export interface ImportKeyOptions {
  /** @default text is `pem`, also as bytes; 32 bytes are `seed`; other bytes are `pkcs8`. `go-p2p` must be named */
  readonly format?: PrivateKeyFormat | undefined;
  /** @default Ed25519 and ECDSA on P-256 */
  readonly registry?: KeyRegistry | undefined;
}

/** The meaning of other PEM labels, and how to convert them. */
const PEM_HINTS: Readonly<Record<string, string>> = {
  'OPENSSH PRIVATE KEY':
    'this is the format of OpenSSH; `ssh-keygen -p -m PKCS8 -f FILE` (OpenSSH 9.6 or later) rewrites the file as PKCS#8, `shoal keygen` makes a new key',
  'ENCRYPTED PRIVATE KEY': 'it is encrypted; `openssl pkcs8 -in FILE -out NEW` decrypts it',
  'EC PRIVATE KEY': 'this is SEC 1; `openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW` rewrites it as PKCS#8',
  'RSA PRIVATE KEY': 'RSA keys cannot be used; `shoal keygen` makes an Ed25519 key',
  'PUBLIC KEY': 'this is a public key; importPublicKey reads it',
};

const SEED_BYTES = 32;

const BYTE_FORMATS: readonly string[] = ['pkcs8', 'seed', 'go-p2p'];

const unknownFormat = (format: unknown): string =>
  `expected format pem, pkcs8, seed or go-p2p, got ${describeName(format)}`;

function refuse(why: string): never {
  throw new TypeError(`Cannot import key: ${why}`);
}

function fromPem(text: string): Bytes {
  const block = decodePem(text).find(({ label }) => label === 'PRIVATE KEY');
  if (block !== undefined) return block.der;
  const fault = pemFault(text, 'PRIVATE KEY');
  const label = /got "(.*)"$/.exec(fault)?.[1];
  return refuse(label !== undefined && PEM_HINTS[label] !== undefined ? `${fault}: ${PEM_HINTS[label]}` : fault);
}

/**
 * The text of bytes that are a text file with PEM, as `readFile` returns without an encoding: a byte order mark and
 * other text may come first. Neither DER nor a seed contains such a line.
 */
function pemTextOf(source: Uint8Array): string | undefined {
  if (source.length <= SEED_BYTES) return undefined;
  const text = decodeText(source);
  return text?.includes('-----BEGIN ') === true ? text : undefined;
}

function fromPkcs8(registry: KeyRegistry, der: Uint8Array): PrivateKey {
  const decoded = registry.decodePrivateKey(der);
  if (decoded !== undefined) return privateKeyOf(registry, decoded.algorithm.name, decoded.secret);
  if (decodeSpki(der) !== undefined) {
    refuse('the bytes have the form of a public key; if they are a private key of go-p2p, say format: "go-p2p"');
  }
  const names = registry.algorithms.map(({ name }) => name).join(' or ');
  const isPkcs8 = decodePkcs8(der) !== undefined;
  const why = isPkcs8
    ? ': it has another algorithm or curve, is not a key, or contains the public key of another one'
    : '';
  return refuse(`expected PKCS#8 of ${names}${why}`);
}

function fromGoP2p(registry: KeyRegistry, der: Uint8Array): PrivateKey {
  const info = decodeSpki(der);
  if (info?.algorithm.oid !== OIDS.ed25519 || info.algorithm.parameters !== undefined || info.bits.length !== 32) {
    refuse('expected 44 bytes of DER in the form of an Ed25519 public key');
  }
  return privateKeyOf(registry, 'ed25519', info.bits);
}

/**
 * Imports a private key from text or bytes.
 *
 * @param source - PEM text, or the bytes of the format; copied.
 * @throws {TypeError} when it does not have the format. The message never quotes the source.
 */
export function importKey(source: string | Uint8Array, options: ImportKeyOptions = {}): PrivateKey {
  const { registry = defaultKeyRegistry } = options;
  if (typeof source === 'string') {
    const { format = 'pem' } = options;
    if (format !== 'pem')
      refuse(BYTE_FORMATS.includes(format) ? `${format} is bytes, got text` : unknownFormat(format));
    return fromPkcs8(registry, fromPem(source));
  }
  if (!(source instanceof Uint8Array)) refuse(`expected text or bytes, got ${describeKind(source)}`);
  const text = options.format === undefined ? pemTextOf(source) : undefined;
  if (text !== undefined) return fromPkcs8(registry, fromPem(text));
  const format = options.format ?? (source.length === SEED_BYTES ? 'seed' : 'pkcs8');
  switch (format) {
    case 'pem':
      return refuse('pem is text, got bytes');
    case 'pkcs8':
      return fromPkcs8(registry, source);
    case 'seed':
      if (source.length !== SEED_BYTES) refuse(`a seed has 32 bytes, got ${source.length}`);
      return privateKeyOf(registry, 'ed25519', source);
    case 'go-p2p':
      return fromGoP2p(registry, source);
    default:
      return refuse(unknownFormat(format));
  }
}

/**
 * Exports the secret of a private key. Its owner can act as this peer.
 *
 * @throws {TypeError} when the key was not made by this library, or cannot have this format.
 */
export function exportKey(key: PrivateKey, format: 'pem'): string;
export function exportKey(key: PrivateKey, format: 'pkcs8' | 'seed' | 'go-p2p'): Bytes;
export function exportKey(key: PrivateKey, format: PrivateKeyFormat): string | Bytes {
  const { registry, bytes } = secretOf(key);
  if ((format === 'seed' || format === 'go-p2p') && key.algorithm !== 'ed25519') {
    throw new TypeError(`Cannot export key: ${format} is for ed25519, got ${key.algorithm}`);
  }
  switch (format) {
    case 'pem':
      return encodePem('PRIVATE KEY', registry.encodePrivateKey(key.algorithm, bytes));
    case 'pkcs8':
      return registry.encodePrivateKey(key.algorithm, bytes);
    case 'seed':
      return bytes.slice();
    case 'go-p2p':
      return encodeSpki({ algorithm: { oid: OIDS.ed25519 }, bits: bytes });
    default:
      throw new TypeError(`Cannot export key: ${unknownFormat(format)}`);
  }
}

/**
 * Imports a public key from PEM (`-----BEGIN PUBLIC KEY-----`), as text or bytes, or from the DER in it. Keys of
 * unknown algorithms are read too; their `algorithm` is the OID.
 *
 * @throws {TypeError} when it is not a public key, and when it has a known algorithm but can never verify a signature:
 * wrong length, not on the curve, low order.
 */
export function importPublicKey(
  source: string | Uint8Array,
  options: { readonly registry?: KeyRegistry | undefined } = {},
): PublicKey {
  const { registry = defaultKeyRegistry } = options;
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) {
    throw new TypeError(`Cannot import public key: expected text or bytes, got ${describeKind(source)}`);
  }
  const text = typeof source === 'string' ? source : pemTextOf(source);
  const der = text === undefined ? source : decodePem(text).find(({ label }) => label === 'PUBLIC KEY')?.der;
  if (!(der instanceof Uint8Array)) {
    throw new TypeError(`Cannot import public key: ${pemFault(text!, 'PUBLIC KEY')}`);
  }
  if (decodeSpki(der) === undefined) {
    throw new TypeError('Cannot import public key: expected a PEM block "PUBLIC KEY" or SPKI in DER');
  }
  const key = usablePublicKey(registry, der);
  if (key === undefined) {
    throw new TypeError('Cannot import public key: its bits encode no key, so no signature can be checked with it');
  }
  return key;
}

/** A public key as PEM. */
export function exportPublicKey(publicKey: PublicKey): string {
  return encodePem('PUBLIC KEY', publicKey.spki);
}
