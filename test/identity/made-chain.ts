/** Certificates and chains as a peer can make them up. */

import assert from 'node:assert/strict';
import { type ChainCost, verifyChain } from '../../src/identity/chain.ts';
import { der, derBitString, derOid, derSequence, TAG } from '../../src/identity/der.ts';
import {
  type Certificate,
  type CertificateExtension,
  createCertificate,
  type CertificateOptions,
  createSelfSignedCertificate,
  defaultKeyRegistry,
  OIDS,
  parseCertificate,
  type Signer,
} from '../../src/identity/x509.ts';
import { opensslAccepts } from './openssl.ts';
import { testKey } from '../../src/testing/test-key.ts';

export const NOW_MS: number = 1_800_000_000_000;
export const DATES: { readonly notBeforeMs: number; readonly notAfterMs: number } = {
  notBeforeMs: NOW_MS - 1000,
  notAfterMs: NOW_MS + 1000,
};

export interface Issued {
  readonly key: Signer;
  readonly der: Uint8Array;
  readonly certificate: Certificate;
}

export function issued(key: Signer, der: Uint8Array): Issued {
  return { key, der, certificate: parseCertificate(der)! };
}

export function issue(key: Signer, by: Issued | undefined, options: Partial<CertificateOptions> = {}): Issued {
  const made = createCertificate({
    subjectKey: key.publicKey,
    issuer: by === undefined ? { key } : { key: by.key, certificate: by.certificate },
    commonName: 'somebody',
    serialNumber: Uint8Array.of(7),
    ...DATES,
    ...options,
  });
  return issued(key, made);
}

export const authority = { isAuthority: true };
export const root: Issued = issue(testKey(1), undefined, { ...authority, commonName: 'root' });

/** A certificate of `root` with exactly these extensions. */
export function bare(
  extensions: readonly CertificateExtension[],
  key: Signer = testKey(3),
  by: Issued = root,
  serial?: Uint8Array,
): Issued {
  // An authority's standard extensions are taken out again, by signing what is left.
  const named = issue(key, undefined, { commonName: 'bare' }).certificate;
  const made = createSelfSignedCertificate({
    signer: { publicKey: by.key.publicKey, sign: (message) => by.key.sign(message) },
    registry: defaultKeyRegistry,
    serialNumber: Uint8Array.of(7),
    ...DATES,
    extensions,
  });
  return issued(
    key,
    resign(made, by, { issuer: by.certificate.subject, subject: named.subject, spki: named.spki, serial }),
  );
}

/** Puts other names and another key into a certificate of shoal's, and signs it. */
function resign(
  made: Uint8Array,
  by: Issued,
  names: {
    readonly issuer: Uint8Array;
    readonly subject: Uint8Array;
    readonly spki: Uint8Array;
    readonly serial?: Uint8Array | undefined;
  },
): Uint8Array {
  const { toBeSigned, extensions } = parseCertificate(made)!;
  const algorithm = derSequence(derOid(OIDS.ed25519));
  const head = toBeSigned.subarray(toBeSigned.length - inner(toBeSigned).length);
  const fields = elements(head);
  const list = extensions.length === 0 ? [] : [fields.at(-1)!];
  const again = derSequence(
    fields[0]!,
    names.serial === undefined ? fields[1]! : der(TAG.integer, names.serial),
    algorithm,
    names.issuer,
    fields[4]!,
    names.subject,
    names.spki,
    ...list,
  );
  return derSequence(again, algorithm, derBitString(by.key.sign(again)));
}

/** The contents of an element. */
function inner(element: Uint8Array): Uint8Array {
  const first = element[1]!;
  return element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f));
}

/** The elements in contents, one after the other. */
function elements(contents: Uint8Array): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let at = 0; at < contents.length;) {
    const first = contents[at + 1]!;
    const size = first < 0x80 ? 0 : first & 0x7f;
    let length = size === 0 ? first : 0;
    for (let i = 0; i < size; i++) length = length * 256 + contents[at + 2 + i]!;
    all.push(contents.subarray(at, at + 2 + size + length));
    at += 2 + size + length;
  }
  return all;
}

interface Question {
  readonly serverName?: string;
  readonly anchors?: readonly Issued[];
  readonly usage?: 'server' | 'client';
  readonly wallMs?: number;
  /** Why openssl judges otherwise, where it does; everywhere else the two agree. */
  readonly openssl?: string | undefined;
  readonly cost?: ChainCost;
}

/** Our verdict; openssl's is the same, unless the question says why not. */
export function problem(chain: readonly Issued[], options: Question = {}): ReturnType<typeof verifyChain> {
  const { serverName, anchors = [root], usage = 'server', wallMs = NOW_MS, openssl, cost } = options;
  const verdict = verifyChain({
    chain: chain.map((one) => one.der),
    anchors: anchors.map(({ certificate }) => certificate),
    wallMs,
    usage,
    serverName,
    cost,
  });
  const theirs = opensslAccepts({
    chain: chain.map((one) => one.der),
    anchors: anchors.map((one) => one.der),
    // openssl counts in seconds.
    atSeconds: wallMs < NOW_MS ? Math.floor(wallMs / 1000) : Math.ceil(wallMs / 1000),
    usage,
    serverName,
  });
  if (theirs !== undefined) {
    const agrees = theirs === (verdict === undefined);
    const said = `openssl ${theirs ? 'accepts' : 'refuses'} it, we say ${verdict?.fault ?? 'nothing'}`;
    assert.equal(agrees, openssl === undefined, openssl === undefined ? said : `not so: ${openssl}; ${said}`);
  }
  return verdict;
}

export const fault = (chain: readonly Issued[], options: Question = {}): string | undefined =>
  problem(chain, options)?.fault;

export const extension = (oid: string, value: Uint8Array, critical = true): CertificateExtension => ({
  oid,
  critical,
  value: Uint8Array.from(value),
});
export const yes: Uint8Array = der(TAG.boolean, Uint8Array.of(0xff));
export const constraints = (...parts: Uint8Array[]): CertificateExtension =>
  extension(OIDS.basicConstraints, derSequence(...parts));
export const keyUsage = (...bits: number[]): CertificateExtension =>
  extension(OIDS.keyUsage, der(TAG.bitString, Uint8Array.from(bits)));
export const purposes = (...oids: string[]): CertificateExtension =>
  extension(OIDS.extendedKeyUsage, derSequence(...oids.map((oid) => derOid(oid))));
export const dnsName = (name: Uint8Array): CertificateExtension =>
  extension(OIDS.subjectAltName, derSequence(der(0x82, name)));
export const MAY_CERTIFY: CertificateExtension = keyUsage(2, 0x04);
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
