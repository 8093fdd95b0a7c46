/**
 * Chains of certificates to an authority: RFC 5280 §6 as far as peers need it. Signatures, dates, basic constraints, key
 * usage, extended key usage, and names as in RFC 9525. Not: revocation, policies, and name
 * constraints, which are refused.
 */

import { equalBytes } from '../core/bytes.ts';
import { canonicalIp, ipBytes } from '../core/ip.ts';
import { type Certificate, type CertificateExtension, parseCertificate } from './certificate.ts';
import { contextTag, type DerReader, readDer, TAG } from './der.ts';
import { issued } from './issued.ts';
import { OIDS, type Oid } from './oid.ts';

/** What can be wrong with a chain. `constraints`: an extension that must be understood and is not, or one that forbids it. */
export type ChainFault = 'malformed' | 'unknown_ca' | 'expired' | 'not_yet_valid' | 'usage' | 'name' | 'constraints';

/** What is asked of a chain. */
export interface ChainQuestion {
  /** DER, end entity first; the others in any order. */
  readonly chain: readonly Uint8Array[];
  /** The authorities. */
  readonly anchors: readonly Certificate[];
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** What the end entity is to be. */
  readonly usage: 'server' | 'client';
  /** A DNS name or an IP that the end entity must have. */
  readonly serverName: string | undefined;
}

/** What is wrong, for machines and for people. */
export interface ChainProblem {
  readonly fault: ChainFault;
  readonly why: string;
}

/** Certificates between the end entity and the authority. */
const MAX_INTERMEDIATES = 8;

const SERVER_AUTH: Oid = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH: Oid = '1.3.6.1.5.5.7.3.2';
const ANY_EXTENDED_KEY_USAGE: Oid = '2.5.29.37.0';
/** Bits of keyUsage (RFC 5280 §4.2.1.3), from the first. */
const DIGITAL_SIGNATURE = 0;
const KEY_CERT_SIGN = 5;
/** Critical ones that are looked at. */
const UNDERSTOOD: readonly Oid[] = [OIDS.basicConstraints, OIDS.keyUsage, OIDS.extendedKeyUsage, OIDS.subjectAltName];
const NAME_CONSTRAINTS: Oid = '2.5.29.30';

/** What speaks against a chain, or nothing. Never throws. */
export function verifyChain(question: ChainQuestion): ChainProblem | undefined {
  const { chain, anchors, wallMs } = question;
  if (chain.length > MAX_INTERMEDIATES + 1) return { fault: 'malformed', why: 'its chain is too long' };
  const parsed = chain.map((der) => parseCertificate(der));
  const leaf = parsed[0];
  if (leaf === undefined) return { fault: 'malformed', why: 'its certificate is none that is strict version 3' };
  const others = parsed.slice(1).filter((one) => one !== undefined);
  const own = checkDates(leaf, wallMs) ?? checkCritical(leaf) ?? checkUsage(leaf, question.usage);
  if (own !== undefined) return own;
  // Who the authority has named itself is trusted as it is.
  if (!anchors.some((anchor) => equalBytes(anchor.der, leaf.der))) {
    const problem = climb(leaf, others, anchors, wallMs, 0);
    if (problem !== undefined) return problem;
  }
  return question.serverName === undefined ? undefined : checkName(leaf, question.serverName);
}

/** Looks for a way up from `child`; answers the problem of the most promising one. */
function climb(
  child: Certificate,
  others: readonly Certificate[],
  anchors: readonly Certificate[],
  wallMs: number,
  below: number,
): ChainProblem | undefined {
  let problem: ChainProblem | undefined;
  for (const anchor of anchors) {
    if (!issued(anchor, child)) continue;
    const wrong = checkDates(anchor, wallMs) ?? checkCritical(anchor) ?? checkAuthority(anchor, below, true);
    if (wrong === undefined) return undefined;
    problem ??= wrong;
  }
  if (below < MAX_INTERMEDIATES) {
    for (const issuer of others) {
      if (!issued(issuer, child)) continue;
      const rest = others.filter((other) => other !== issuer);
      const wrong =
        checkDates(issuer, wallMs) ??
        checkCritical(issuer) ??
        checkAuthority(issuer, below, false) ??
        climb(issuer, rest, anchors, wallMs, below + 1);
      if (wrong === undefined) return undefined;
      problem ??= wrong;
    }
  }
  return problem ?? { fault: 'unknown_ca', why: 'its chain leads to no authority of trust.ca' };
}

function checkDates(certificate: Certificate, wallMs: number): ChainProblem | undefined {
  if (wallMs > certificate.notAfterMs) return { fault: 'expired', why: 'a certificate of its chain has expired' };
  if (wallMs < certificate.notBeforeMs) {
    return { fault: 'not_yet_valid', why: 'a certificate of its chain is not valid yet; are the clocks right?' };
  }
  return undefined;
}

function extensionOf(certificate: Certificate, oid: Oid): CertificateExtension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid);
}

function checkCritical(certificate: Certificate): ChainProblem | undefined {
  const unknown = certificate.extensions.find(
    ({ critical, oid }) => oid === NAME_CONSTRAINTS || (critical && !UNDERSTOOD.includes(oid)),
  );
  if (unknown === undefined) return undefined;
  return {
    fault: 'constraints',
    why: `a certificate of its chain has the extension ${unknown.oid}, which is not understood`,
  };
}

function forbidden(why: string): ChainProblem {
  return { fault: 'constraints', why };
}

function unfit(why: string): ChainProblem {
  return { fault: 'usage', why };
}

/** Whether a certificate may sign others, with so many below it that do. */
function checkAuthority(certificate: Certificate, below: number, anchor: boolean): ChainProblem | undefined {
  const constraints = extensionOf(certificate, OIDS.basicConstraints);
  if (constraints === undefined)
    return anchor ? undefined : forbidden('a certificate that may not sign others has done so');
  const read = readDer(constraints.value, (reader) => {
    const inner = reader.sequence();
    const ca = inner.tag === TAG.boolean && inner.boolean();
    const most = inner.tag === TAG.integer ? inner.smallInteger() : Infinity;
    inner.end();
    return { ca, most };
  });
  if (read?.ca !== true) return forbidden('a certificate that may not sign others has done so');
  if (below > read.most) return forbidden('its chain is longer than a certificate in it allows');
  return hasKeyUsage(certificate, KEY_CERT_SIGN)
    ? undefined
    : forbidden('a key that may not sign certificates has done so');
}

function checkUsage(leaf: Certificate, usage: 'server' | 'client'): ChainProblem | undefined {
  if (!hasKeyUsage(leaf, DIGITAL_SIGNATURE)) return unfit('its key may not sign');
  const extended = extensionOf(leaf, OIDS.extendedKeyUsage);
  if (extended === undefined) return undefined;
  const purposes = readDer(extended.value, (reader) => readAll(reader.sequence(), (inner) => inner.oid()));
  const wanted = usage === 'server' ? SERVER_AUTH : CLIENT_AUTH;
  if (purposes?.some((oid) => oid === wanted || oid === ANY_EXTENDED_KEY_USAGE) === true) return undefined;
  return unfit(`its certificate is not for a ${usage}`);
}

/** Whether the key may be used so; where nothing is said, it may. */
function hasKeyUsage(certificate: Certificate, bit: number): boolean {
  const extension = extensionOf(certificate, OIDS.keyUsage);
  if (extension === undefined) return true;
  // The first byte of a bit string counts unused bits, so the bits begin behind it.
  const bits = readDer(extension.value, (reader) => reader.contents(TAG.bitString));
  return ((bits?.[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0;
}

function readAll<T>(reader: DerReader, read: (reader: DerReader) => T): T[] {
  const all: T[] = []; // bounded by the certificate's own bytes
  while (!reader.done) all.push(read(reader));
  return all;
}

/** RFC 9525: names are those of subjectAltName alone; a `*` may be the whole first label. */
function checkName(leaf: Certificate, serverName: string): ChainProblem | undefined {
  const problem: ChainProblem = { fault: 'name', why: `its certificate is not for ${serverName}` };
  const names = extensionOf(leaf, OIDS.subjectAltName);
  if (names === undefined) return problem;
  const ip = canonicalIp(serverName);
  const wantedTag = contextTag(ip === undefined ? 2 : 7, false);
  const found = readDer(names.value, (reader) =>
    readAll(reader.sequence(), (inner) => {
      const { tag } = inner;
      if (tag !== wantedTag) {
        inner.any();
        return false;
      }
      const value = inner.contents(wantedTag);
      if (ip !== undefined) return equalBytes(value, ipBytes(ip)!);
      return matchesName(String.fromCharCode(...value), serverName);
    }).some(Boolean),
  );
  return found === true ? undefined : problem;
}

function matchesName(pattern: string, name: string): boolean {
  const [wanted, actual] = [pattern.toLowerCase(), name.toLowerCase().replace(/\.$/, '')];
  if (!wanted.startsWith('*.')) return wanted === actual;
  const dot = actual.indexOf('.');
  // A wildcard stands for one label, and not for all of a top-level domain.
  return dot > 0 && actual.slice(dot) === wanted.slice(1) && wanted.slice(2).includes('.');
}
