/** The identity of an endpoint: a key with a self-signed certificate, or with a given chain. */

import { type Bytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { describeOption, describeValue } from '../base/checks.ts';
import type { PublicKey } from '../core/secure.ts';
import type { Realm } from '../core/realm.ts';
import { parseCertificate } from '../identity/certificate.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import { subjectAltName } from '../identity/issue.ts';
import { decodePem } from '../identity/pem.ts';
import { generateKey } from '../identity/generate-key.ts';
import { exportKey, importKey } from '../identity/import-key.ts';
import type { PrivateKey } from '../identity/private-key.ts';
import { type QuicIdentity, identityOf, keyOf } from '../identity/quic-identity.ts';

/** One certificate in DER, or one or more in PEM. */
export type CertificateSource = Uint8Array | string;

/** Options about the identity. */
export interface IdentityOptions {
  readonly privateKey?: PrivateKey | Uint8Array | string | undefined;
  readonly certificate?: CertificateSource | readonly CertificateSource[] | undefined;
}

/** A checked identity. */
export interface ResolvedIdentity {
  readonly publicKey: PublicKey;
  readonly quic: QuicIdentity;
}

/** Certificates in DER. @throws {TypeError} for an empty list. */
export function certificatesOf(source: CertificateSource, label: string): readonly Bytes[] {
  if (source instanceof Uint8Array) {
    const text = source[0] === PEM_DASH ? new TextDecoder().decode(source) : undefined;
    return text === undefined ? [copyBytes(source)] : certificatesOf(text, label);
  }
  if (typeof source !== 'string') {
    throw new TypeError(`Cannot take ${label}: expected a certificate in PEM or DER, got ${describeValue(source)}`);
  }
  const ders = decodePem(source).filter(({ label: kind }) => kind === 'CERTIFICATE');
  if (ders.length === 0) throw new TypeError(`Cannot take ${label}: the text holds no PEM block "CERTIFICATE"`);
  return ders.map(({ der: bytes }) => bytes);
}

const PEM_DASH = 0x2d;

/** The name in qp2p's certificates; its TLS library accepts none without an extension. */
const QP2P_NAME = 'maidsafe.net';

/** @throws {TypeError} for values that are no identity, and for a key that is not the certificate's. */
export function resolveIdentity(
  { privateKey, certificate }: IdentityOptions,
  realm: Realm,
  qp2p: boolean,
): ResolvedIdentity {
  if (certificate !== undefined) {
    if (privateKey === undefined)
      throw new TypeError('Cannot take certificate: expected privateKey, the key of it, too');
    return fromCertificate(certificate, privateKey);
  }
  const given = checkedKey(privateKey ?? generateKey({ random: (length) => realm.random(length) }));
  const extensions = qp2p ? [subjectAltName([QP2P_NAME])] : undefined;
  return { publicKey: given.publicKey, quic: identityOf(given, realm, extensions) };
}

/** @throws {TypeError} for a value that is no key. */
function checkedKey(given: PrivateKey | Uint8Array | string): PrivateKey {
  if (typeof given === 'string' || given instanceof Uint8Array) {
    throw new TypeError(
      'Cannot take privateKey: expected a key (see generateKey and importKey), or a certificate with it',
    );
  }
  if (typeof given !== 'object' || given === null || !('publicKey' in given)) {
    throw new TypeError(
      `Cannot take privateKey: expected a key (see generateKey), got ${describeOption('privateKey', given)}`,
    );
  }
  return given;
}

function fromCertificate(
  certificate: CertificateSource | readonly CertificateSource[],
  key: PrivateKey | Uint8Array | string,
): ResolvedIdentity {
  const sources: readonly CertificateSource[] =
    typeof certificate === 'string' || certificate instanceof Uint8Array ? [certificate] : certificate;
  const chain = sources.flatMap((source) => certificatesOf(source, 'certificate'));
  const first = chain[0] === undefined ? undefined : parseCertificate(chain[0]);
  const publicKey = chain[0] === undefined ? undefined : keyOf(chain[0]);
  if (first === undefined || publicKey === undefined) {
    throw new TypeError('Cannot take certificate: expected an X.509 version 3 certificate');
  }
  return { publicKey, quic: { chain, privateKey: privateKeyOf(key, first.spki) } };
}

/** The key as PKCS#8. For algorithms that only TLS supports (RSA, P-384), TLS itself checks that key and certificate match. */
function privateKeyOf(key: PrivateKey | Uint8Array | string, spki: Bytes): Bytes {
  const isText = typeof key === 'string' || key instanceof Uint8Array;
  if (isText && defaultKeyRegistry.verifier(spki) === undefined) return pkcs8Of(key);
  const own = isText ? importKey(key) : checkedKey(key);
  if (!equalBytes(own.publicKey.spki, spki)) {
    throw new TypeError('Cannot take privateKey: it is not the key of the certificate');
  }
  return exportKey(own, 'pkcs8');
}

function pkcs8Of(source: Uint8Array | string): Bytes {
  if (typeof source !== 'string') return copyBytes(source);
  const block = decodePem(source).find(({ label }) => label === 'PRIVATE KEY');
  if (block === undefined) throw new TypeError('Cannot take privateKey: the text holds no PEM block "PRIVATE KEY"');
  return block.der;
}
