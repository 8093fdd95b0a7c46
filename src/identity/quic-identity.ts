/** Keys in QUIC: this side's certificate, the key in a peer's certificate, and values derived from this side's key. */

import { hmac } from '#crypto';
import { type Bytes, encodeText } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Realm } from '../core/realm.ts';
import {
  type CertificateExtension,
  createSelfSignedCertificate,
  defaultKeyRegistry,
  parseCertificate,
} from './x509.ts';
import { usablePublicKey } from './key-algorithm.ts';
import { exportKey } from './import-key.ts';
import type { PrivateKey } from './private-key.ts';

/** The identity of this endpoint. */
export interface QuicIdentity {
  /** This side's certificates, DER, end entity first. Ed25519, ECDSA P-256/P-384 or RSA. 1 to 16. */
  readonly chain: readonly Uint8Array[];
  /** The private key of the first certificate, PKCS#8 DER. */
  readonly privateKey: Uint8Array;
}

/** Random numbers up to 2^127: positive, and practically unique. */
const SERIAL_BYTES = 16;
/** Peers ignore the dates, but tools check them: valid from one day ago, for slow clocks, for ten years. */
const DAY_MS = 86_400_000;
const VALID_MS = 3650 * DAY_MS;

/** A self-signed certificate of `key`. @throws {TypeError} when the key cannot be exported for TLS. */
export function identityOf(key: PrivateKey, realm: Realm, extensions?: readonly CertificateExtension[]): QuicIdentity {
  const now = realm.wallMs();
  const certificate = createSelfSignedCertificate({
    signer: key,
    registry: defaultKeyRegistry,
    serialNumber: realm.random(SERIAL_BYTES),
    notBeforeMs: now - DAY_MS,
    notAfterMs: now + VALID_MS,
    extensions,
  });
  return { chain: [certificate], privateKey: exportKey(key, 'pkcs8') };
}

/**
 * A secret of a key (PKCS#8) at one address, stable across restarts: a process that restarts there can tell peers of
 * its earlier connections at once. Only for an address that no other process has at the same time (RFC 9000 §21.11).
 */
export function resetKeyOf(pkcs8: Uint8Array, addr: string): Bytes {
  return hmac('sha512', pkcs8, encodeText(`shoal quic stateless reset ${addr}`));
}

/**
 * The key of a certificate whose owner has proven it; `undefined` when it cannot be read, or when its bits allow anyone
 * to prove it, for example a point of low order.
 */
export function keyOf(certificate: Bytes): PublicKey | undefined {
  const spki = parseCertificate(certificate)?.spki;
  return spki === undefined ? undefined : usablePublicKey(defaultKeyRegistry, spki);
}
