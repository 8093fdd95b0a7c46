/**
 * Verifies certificate chains up to an authority: the part of RFC 5280 §6 that peers need. Checks signatures, dates,
 * basic constraints, key usage, extended key usage along the chain, and names as in RFC 9525. Does not support
 * revocation, policies, and name constraints; certificates with name constraints are refused.
 *
 * The work is bounded, whatever certificates a peer sends: first sizes and numbers are checked, then what is cheap
 * (names, dates, extensions), then signatures, whose number is small.
 */

import { equalBytes } from '../base/bytes.ts';
import { matchesServerName } from './certificate-names.ts';
import { type CertificateUsage, type Profile, profileOf } from './certificate-profile.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { issued } from './issued.ts';

/** The faults of a chain. `constraints`: a critical extension is not understood, or an extension forbids the use. */
export type ChainFault =
  | 'malformed'
  | 'unknown_ca'
  | 'unsupported'
  | 'too_complex'
  | 'expired'
  | 'not_yet_valid'
  | 'usage'
  | 'name'
  | 'constraints';

/** The requirements of a chain. */
export interface ChainQuestion {
  /** DER, end entity first; the others in any order. */
  readonly chain: readonly Uint8Array[];
  /** The authorities. */
  readonly anchors: readonly Certificate[];
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** The role of the end entity. */
  readonly usage: CertificateUsage;
  /** A DNS name or an IP that the end entity must have. */
  readonly serverName: string | undefined;
  /** Where the operations are counted. @default a new object */
  readonly cost?: ChainCost | undefined;
}

/** What is wrong: a code, and a text for people. */
export interface ChainProblem {
  readonly fault: ChainFault;
  readonly why: string;
}

/** The operations of one verification; each is bounded by a limit below. */
export interface ChainCost {
  /** Certificates tried as the issuer of another one. */
  steps: number;
  signatureChecks: number;
  /** Bytes of signed parts that were hashed. */
  hashedBytes: number;
}

/** Certificates between the end entity and the authority. */
export const MAX_INTERMEDIATES = 14;
/** Certificates sent by a peer: its own, intermediate ones, and that of the authority, which many send too. */
export const MAX_CHAIN_CERTIFICATES = 16;
/** Bytes of all certificates of a chain. A TLS handshake has at most 64 KiB in practice. */
export const MAX_CHAIN_BYTES: number = 192 * 1024;
/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_BYTES = 20;
/** The maximum of tried issuers. */
export const MAX_CHAIN_STEPS = 100;
/** The maximum of checked signatures: one for each certificate of the longest path, and one for a wrong path. */
export const MAX_SIGNATURE_CHECKS = 16;

const TOO_COMPLEX: ChainProblem = {
  fault: 'too_complex',
  why: `its chain takes more than ${MAX_CHAIN_STEPS} steps or ${MAX_SIGNATURE_CHECKS} signature checks`,
};

function forbidden(why: string): ChainProblem {
  return { fault: 'constraints', why };
}

function malformed(why: string): ChainProblem {
  return { fault: 'malformed', why };
}

/** Returns why a chain is invalid, or `undefined`. Never throws. */
export function verifyChain(question: ChainQuestion): ChainProblem | undefined {
  const { chain, anchors, serverName } = question;
  if (chain.length > MAX_CHAIN_CERTIFICATES) return malformed('its chain has too many certificates');
  if (chain.reduce((bytes, der) => bytes + der.length, 0) > MAX_CHAIN_BYTES) return malformed('its chain is too large');
  const [leaf, ...others] = chain.map((der) => parseCertificate(der));
  if (leaf === undefined) return malformed('its certificate is not a strict version 3 certificate');
  // A certificate that is itself an authority is trusted as it is.
  const isNamed = anchors.some((anchor) => equalBytes(anchor.der, leaf.der));
  const search = new ChainSearch(
    question,
    others.filter((other) => other !== undefined),
  );
  const problem = search.checkLeaf(leaf) ?? (isNamed ? undefined : search.climb(leaf, 0, 0));
  if (problem !== undefined || serverName === undefined) return problem;
  return matchesServerName(search.profile(leaf), serverName)
    ? undefined
    : { fault: 'name', why: `its certificate is not for ${serverName}` };
}

/** One search for a path to an authority. */
class ChainSearch {
  readonly #question: ChainQuestion;
  /** The intermediate certificates, each once; bounded by MAX_CHAIN_CERTIFICATES. */
  readonly #others: readonly Certificate[];
  readonly #cost: ChainCost;
  /** The profile of each certificate; bounded by the certificates of the chain and the authorities. */
  readonly #profiles = new Map<Certificate, Profile>();
  /** Signatures that have been checked, by issuer and child; bounded by MAX_SIGNATURE_CHECKS. */
  readonly #signatures = new Map<Certificate, Map<Certificate, ReturnType<typeof issued>>>();
  /** Certificates on the path from the end entity to the current one; bounded by MAX_INTERMEDIATES. */
  readonly #path = new Set<Certificate>();
  /** The steps used so far. */
  #steps = 0;
  #checks = 0;
  #isSpent = false;

  constructor(question: ChainQuestion, sent: readonly Certificate[]) {
    this.#question = question;
    this.#cost = question.cost ?? { steps: 0, signatureChecks: 0, hashedBytes: 0 };
    this.#others = sent.filter((one, i) => !sent.slice(0, i).some((before) => equalBytes(before.der, one.der)));
  }

  profile(certificate: Certificate): Profile {
    let profile = this.#profiles.get(certificate);
    if (profile === undefined) this.#profiles.set(certificate, (profile = profileOf(certificate)));
    return profile;
  }

  checkLeaf(leaf: Certificate): ChainProblem | undefined {
    const { usage } = this.#question;
    const profile = this.profile(leaf);
    const wrong = this.#checkDates(leaf) ?? profile.problem ?? checkSerial(leaf);
    if (wrong !== undefined) return wrong;
    if (!profile.maySign) return { fault: 'usage', why: 'its key may not sign' };
    return profile.usages[usage] ? undefined : { fault: 'usage', why: `its certificate is not for a ${usage}` };
  }

  /**
   * Searches a path from `child` to an authority; returns the problem of the most promising path.
   *
   * @param depth - certificates between the end entity and `child`'s issuer.
   * @param counted - those of them that count for a path length: not self-issued (RFC 5280 §6.1.4 (l)).
   */
  climb(child: Certificate, depth: number, counted: number): ChainProblem | undefined {
    let problem: ChainProblem | undefined;
    for (const anchor of this.#question.anchors) {
      const wrong = this.#tryIssuer(anchor, child, counted);
      if (wrong === undefined) return undefined;
      problem = morePromising(problem, wrong);
    }
    const others = this.#others;
    for (const issuer of others) {
      if (depth === MAX_INTERMEDIATES || this.#path.has(issuer)) continue;
      let wrong = checkSerial(issuer) ?? this.#tryIssuer(issuer, child, counted);
      if (wrong === undefined) {
        this.#path.add(issuer);
        wrong = this.climb(issuer, depth + 1, counted + (isSelfIssued(issuer) ? 0 : 1));
        this.#path.delete(issuer);
        if (wrong === undefined) return undefined;
      }
      problem = morePromising(problem, wrong);
    }
    if (this.#isSpent) return TOO_COMPLEX;
    return problem ?? { fault: 'unknown_ca', why: 'its chain leads to no authority of trust.ca' };
  }

  /** Whether `issuer` has signed `child` and may do so: `undefined`, `no`, or the problem. */
  #tryIssuer(issuer: Certificate, child: Certificate, counted: number): ChainProblem | 'no' | undefined {
    if (this.#isSpent || !equalBytes(issuer.subject, child.issuer)) return 'no';
    if (++this.#steps > MAX_CHAIN_STEPS) {
      this.#isSpent = true;
      return 'no';
    }
    this.#cost.steps++;
    const wrong = this.#checkDates(issuer) ?? this.#checkAuthority(issuer, counted);
    if (wrong !== undefined) return wrong;
    const verdict = this.#checkSignature(issuer, child);
    if (verdict === 'yes') return undefined;
    if (verdict === 'no') return 'no';
    return {
      fault: 'unsupported',
      why: `a certificate of its chain is signed by an algorithm that is not supported (${child.signatureAlgorithm.oid})`,
    };
  }

  #checkSignature(issuer: Certificate, child: Certificate): ReturnType<typeof issued> {
    let verdicts = this.#signatures.get(issuer);
    if (verdicts === undefined) this.#signatures.set(issuer, (verdicts = new Map()));
    let verdict = verdicts.get(child);
    if (verdict !== undefined) return verdict;
    if (++this.#checks > MAX_SIGNATURE_CHECKS) {
      this.#isSpent = true;
      return 'no';
    }
    this.#cost.signatureChecks++;
    this.#cost.hashedBytes += child.toBeSigned.length;
    verdict = issued(issuer, child);
    verdicts.set(child, verdict);
    return verdict;
  }

  #checkDates({ notBeforeMs, notAfterMs }: Certificate): ChainProblem | undefined {
    const { wallMs } = this.#question;
    if (wallMs > notAfterMs) return { fault: 'expired', why: 'a certificate of its chain has expired' };
    if (wallMs < notBeforeMs) {
      return { fault: 'not_yet_valid', why: 'a certificate of its chain is not valid yet; are the clocks right?' };
    }
    return undefined;
  }

  /**
   * Checks whether a certificate may sign others, with this number of authorities below it; the same for intermediate
   * certificates and authorities.
   */
  #checkAuthority(certificate: Certificate, counted: number): ChainProblem | undefined {
    const profile = this.profile(certificate);
    if (profile.problem !== undefined) return profile.problem;
    const { usage } = this.#question;
    if (!profile.isAuthority) return forbidden('a certificate that may not sign others has done so');
    if (!profile.mayCertify) return forbidden('a key that may not sign certificates has done so');
    if (counted > profile.pathLength) return forbidden('its chain is longer than a certificate in it allows');
    if (profile.usages[usage]) return undefined;
    return { fault: 'usage', why: `a certificate of its chain is not for those that sign a ${usage}` };
  }
}

/** RFC 5280 §4.1.2.2: positive, and at most 20 bytes. Not checked for authorities: some have 0. */
function checkSerial({ serialNumber }: Certificate): ChainProblem | undefined {
  const isPositive = serialNumber[0]! < 0x80 && serialNumber.some((byte) => byte !== 0);
  if (isPositive && serialNumber.length <= MAX_SERIAL_BYTES) return undefined;
  return malformed('a certificate of its chain has a serial number that is not from 1 to 20 bytes');
}

/** The first problem that is more specific than a path without an authority. */
function morePromising(first: ChainProblem | undefined, next: ChainProblem | 'no'): ChainProblem | undefined {
  if (next === 'no') return first;
  return first === undefined || first.fault === 'unknown_ca' ? next : first;
}

function isSelfIssued(certificate: Certificate): boolean {
  return equalBytes(certificate.subject, certificate.issuer);
}
