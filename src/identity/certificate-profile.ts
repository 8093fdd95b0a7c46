/**
 * The permissions in the extensions of a certificate (RFC 5280 §4.2.1), read once and strictly: an invalid extension of
 * a known kind makes the certificate unusable, critical or not.
 */

import type { Certificate } from './certificate.ts';
import { type DerReader, readDer, TAG } from './der.ts';
import { OIDS, type Oid } from './oid.ts';

/** The roles of an end entity. */
export type CertificateUsage = 'server' | 'client';

/** The permissions of a certificate. */
export interface Profile {
  /** Why it cannot be used at all. */
  readonly problem: { readonly fault: 'malformed' | 'constraints'; readonly why: string } | undefined;
  /** basicConstraints marks it as an authority. */
  readonly isAuthority: boolean;
  /** The number of authorities that may follow below it; Infinity when it has no limit. */
  readonly pathLength: number;
  /** keyUsage has `digitalSignature`, or is absent. */
  readonly maySign: boolean;
  /** keyUsage has `keyCertSign`, or is absent. */
  readonly mayCertify: boolean;
  /** extendedKeyUsage; true when it is absent. */
  readonly usages: Readonly<Record<CertificateUsage, boolean>>;
  /** subjectAltName: tag and contents of each; bounded by the certificate's own bytes. */
  readonly names: readonly GeneralName[];
}

/** One name of a subjectAltName. */
export interface GeneralName {
  readonly tag: number;
  /** A view into the certificate. */
  readonly value: Uint8Array;
}

/** RFC 5280 §4.2.1.12. */
const USAGES: Readonly<Record<CertificateUsage, Oid>> = {
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
};
/** Bits of keyUsage (RFC 5280 §4.2.1.3), from the first. */
const DIGITAL_SIGNATURE = 0;
const KEY_CERT_SIGN = 5;
/** The supported critical extensions. */
const UNDERSTOOD: readonly Oid[] = [OIDS.basicConstraints, OIDS.keyUsage, OIDS.extendedKeyUsage, OIDS.subjectAltName];
const NAME_CONSTRAINTS: Oid = '2.5.29.30';
/** No certificate in use has nearly as many purposes; more would only cost time. */
const MAX_PURPOSES = 64;

const NOTHING: Omit<Profile, 'problem'> = {
  isAuthority: false,
  pathLength: 0,
  maySign: false,
  mayCertify: false,
  usages: { server: false, client: false },
  names: [],
};

function useless(fault: 'malformed' | 'constraints', why: string): Profile {
  return { ...NOTHING, problem: { fault, why } };
}

/** Reads the permissions of a certificate. Never throws. */
export function profileOf(certificate: Certificate): Profile {
  const strange = certificate.extensions.find(
    ({ critical, oid }) => oid === NAME_CONSTRAINTS || (critical && !UNDERSTOOD.includes(oid)),
  );
  if (strange !== undefined) {
    return useless(
      'constraints',
      `a certificate of its chain has the extension ${strange.oid}, which is not understood`,
    );
  }
  const read = <T>(oid: Oid, absent: T, reader: (reader: DerReader) => T): T | undefined => {
    const value = certificate.extensions.find((extension) => extension.oid === oid)?.value;
    return value === undefined ? absent : readDer(value, reader);
  };
  const constraints = read(OIDS.basicConstraints, { isAuthority: false, pathLength: Infinity }, readConstraints);
  const keyUsage = read(OIDS.keyUsage, () => true, readKeyUsage);
  const usages = read(OIDS.extendedKeyUsage, { server: true, client: true }, readPurposes);
  const names = read(OIDS.subjectAltName, [], readNames);
  if (constraints === undefined || keyUsage === undefined || usages === undefined || names === undefined) {
    return useless('malformed', 'a certificate of its chain has an extension that cannot be read');
  }
  const hasKeyUsage = certificate.extensions.some(({ oid }) => oid === OIDS.keyUsage);
  // RFC 5280 §4.2.1.9: only an authority may sign certificates.
  if (hasKeyUsage && keyUsage(KEY_CERT_SIGN) && !constraints.isAuthority) {
    return useless('constraints', 'a certificate that may not sign others has a key that may');
  }
  return {
    problem: undefined,
    ...constraints,
    maySign: keyUsage(DIGITAL_SIGNATURE),
    mayCertify: keyUsage(KEY_CERT_SIGN),
    usages,
    names,
  };
}

function readConstraints(
  reader: DerReader,
): { readonly isAuthority: boolean; readonly pathLength: number } | undefined {
  const inner = reader.sequence();
  const isAuthority = inner.tag === TAG.boolean && inner.boolean();
  let pathLength = Infinity;
  if (inner.tag === TAG.integer) {
    const value = inner.integer();
    if (value[0]! >= 0x80) return undefined;
    // With more than six bytes it exceeds the length of any chain, and the range of a number.
    if (value.length <= 6) pathLength = value.reduce((sum, byte) => sum * 256 + byte, 0);
  }
  inner.end();
  return { isAuthority, pathLength };
}

/** A bit string with at least one bit (RFC 5280 §4.2.1.3); in DER its unused bits are zeros (X.690 §11.2.1). */
function readKeyUsage(reader: DerReader): ((bit: number) => boolean) | undefined {
  const [unused = 8, ...bits] = reader.contents(TAG.bitString);
  const last = bits.at(-1);
  if (unused > 7 || last === undefined || (last & ((1 << unused) - 1)) !== 0) return undefined;
  if (bits.length > 2 || bits.every((byte) => byte === 0)) return undefined;
  return (bit) => ((bits[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0;
}

function readPurposes(reader: DerReader): Profile['usages'] | undefined {
  const inner = reader.sequence();
  const purposes: Oid[] = []; // bounded by MAX_PURPOSES
  while (!inner.done && purposes.length < MAX_PURPOSES) purposes.push(inner.oid());
  if (!inner.done || purposes.length === 0) return undefined;
  // Any purpose (2.5.29.37.0) is not enough: RFC 5280 §4.2.1.12 allows this, and openssl does the same.
  return { server: purposes.includes(USAGES.server), client: purposes.includes(USAGES.client) };
}

/** RFC 5280 §4.2.1.6: at least one name, each with a context-specific tag from 0 to 8. */
function readNames(reader: DerReader): GeneralName[] | undefined {
  const inner = reader.sequence();
  const names: GeneralName[] = [];
  while (!inner.done) {
    const tag = inner.tag!;
    if ((tag & 0xc0) !== 0x80 || (tag & 0x1f) > 8) return undefined;
    names.push({ tag, value: inner.contents(tag) });
  }
  return names.length === 0 ? undefined : names;
}
