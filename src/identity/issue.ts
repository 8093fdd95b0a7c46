/** Certificates signed by your own authority, for tests and closed groups. */

import { type Bytes, copyBytes, encodeText } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';
import {
  type Certificate,
  type CertificateExtension,
  encodeName,
  type NewCertificate,
  signCertificate,
} from './certificate.ts';
import { contextTag, der, derOid, derSequence, TAG } from './der.ts';
import { defaultKeyRegistry } from './ecdsa-p256.ts';
import type { KeyRegistry, Signer } from './key-algorithm.ts';
import { OIDS, type Oid } from './oid.ts';

/** Options of {@link createCertificate}: subject and issuer. */
export interface CertificateOptions extends NewCertificate {
  /** The key of the subject. */
  readonly subjectKey: PublicKey;
  /** The signing key, and the certificate whose name it uses; without a certificate the result is self-signed. */
  readonly issuer: { readonly key: Signer; readonly certificate?: Certificate | undefined };
  /** DNS names of the subject. @default none */
  readonly dnsNames?: readonly string[] | undefined;
  /** It may sign other certificates. @default false */
  readonly isAuthority?: boolean | undefined;
  /** Its permitted uses. @default both */
  readonly usages?: readonly ('server' | 'client')[] | undefined;
  /** @default Ed25519 and ECDSA on P-256 */
  readonly registry?: KeyRegistry | undefined;
}

const SERVER_AUTH: Oid = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH: Oid = '1.3.6.1.5.5.7.3.2';
/** keyUsage with `digitalSignature`, and with `keyCertSign` and `cRLSign`, as bit strings (RFC 5280 §4.2.1.3). */
const MAY_SIGN = Uint8Array.of(TAG.bitString, 2, 7, 0x80);
const MAY_CERTIFY = Uint8Array.of(TAG.bitString, 2, 1, 0x06);

/**
 * Creates a certificate that an authority signs, DER.
 *
 * @throws {TypeError} when the registry does not know the authority's algorithm.
 * @throws {RangeError} as {@link createSelfSignedCertificate}.
 *
 * @example
 * ```ts
 * const dates = { notBeforeMs: Date.now(), notAfterMs: Date.now() + 86_400_000 };
 * const ca = createCertificate({
 *   ...dates,
 *   subjectKey: caKey.publicKey,
 *   issuer: { key: caKey },
 *   serialNumber: Uint8Array.of(1),
 *   commonName: 'our group',
 *   isAuthority: true,
 * });
 * ```
 */
export function createCertificate(options: CertificateOptions): Bytes {
  const { issuer, dnsNames = [], isAuthority = false, registry = defaultKeyRegistry } = options;
  const usages = options.usages ?? ['server', 'client'];
  const subject = encodeName(options.commonName);
  const purposes = usages.map((usage) => derOid(usage === 'server' ? SERVER_AUTH : CLIENT_AUTH));
  const yes = der(TAG.boolean, Uint8Array.of(0xff));
  const standard: CertificateExtension[] = isAuthority
    ? [
        { oid: OIDS.basicConstraints, critical: true, value: derSequence(yes) },
        { oid: OIDS.keyUsage, critical: true, value: copyBytes(MAY_CERTIFY) },
      ]
    : [
        { oid: OIDS.keyUsage, critical: true, value: copyBytes(MAY_SIGN) },
        { oid: OIDS.extendedKeyUsage, critical: false, value: derSequence(...purposes) },
      ];
  if (dnsNames.length > 0) standard.push(subjectAltName(dnsNames));
  return signCertificate({
    ...options,
    registry,
    signer: issuer.key,
    subjectSpki: options.subjectKey.spki,
    subject,
    issuer: issuer.certificate?.subject ?? subject,
    extensions: [...standard, ...(options.extensions ?? [])],
  });
}

/** The DNS names of a certificate (RFC 5280 §4.2.1.6). @internal */
export function subjectAltName(dnsNames: readonly string[]): CertificateExtension {
  const names = dnsNames.map((name) => der(contextTag(2, false), encodeText(name)));
  return { oid: OIDS.subjectAltName, critical: false, value: derSequence(...names) };
}
