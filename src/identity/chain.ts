/**
 * Chains of certificates to an authority: RFC 5280 §6 as far as peers need it. Signatures, dates, basic constraints, key
 * usage, extended key usage along the chain, and names as in RFC 9525. Not: revocation, policies, and name constraints,
 * which are refused.
 *
 * The work is bounded, whatever certificates a peer makes up: sizes and numbers first, then what costs little (names, dates,
 * extensions), then signatures, of which there are few.
 */

import { equalBytes } from '../base/bytes.ts';
import { matchesServerName } from './certificate-names.ts';
import { type CertificateUsage, type Profile, profileOf } from './certificate-profile.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { issued } from './issued.ts';

/** What can be wrong with a chain. `constraints`: an extension that must be understood and is not, or one that forbids it. */
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

/** What is asked of a chain. */
export interface ChainQuestion {
  /** DER, end entity first; the others in any order. */
  readonly chain: readonly Uint8Array[];
  /** The authorities. */
  readonly anchors: readonly Certificate[];
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** What the end entity is to be. */
  readonly usage: CertificateUsage;
  /** A DNS name or an IP that the end entity must have. */
  readonly serverName: string | undefined;
  /** Where the operations are counted. @default nowhere that the caller sees */
  readonly cost?: ChainCost | undefined;
}

/** What is wrong, for machines and for people. */
export interface ChainProblem {
  readonly fault: ChainFault;
  readonly why: string;
}

/** Operations that one verification takes; each is bounded by a limit below. */
export interface ChainCost {
  /** Certificates that were tried as the issuer of another one. */
  steps: number;
  signatureChecks: number;
  /** Bytes of signed parts that were hashed. */
  hashedBytes: number;
}

/** Certificates between the end entity and the authority. */
export const MAX_INTERMEDIATES = 14;
/** Certificates that a peer sends: its own, those between, and the authority's, which many send along. */
export const MAX_CHAIN_CERTIFICATES = 16;
/** Bytes of all certificates of a chain. A handshake of TLS brings at most 64 KiB in practice. */
export const MAX_CHAIN_BYTES: number = 192 * 1024;
/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_BYTES = 20;
/** Issuers that are tried. */
export const MAX_CHAIN_STEPS = 100;
/** Signatures that are checked: one for each certificate of the longest path, and one for a wrong turn. */
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

/** What speaks against a chain, or nothing. Never throws. */
export function verifyChain(question: ChainQuestion): ChainProblem | undefined {
  const { chain, anchors, serverName } = question;
  if (chain.length > MAX_CHAIN_CERTIFICATES) return malformed('its chain has too many certificates');
  if (chain.reduce((bytes, der) => bytes + der.length, 0) > MAX_CHAIN_BYTES) return malformed('its chain is too large');
  const [leaf, ...others] = chain.map((der) => parseCertificate(der));
  if (leaf === undefined) return malformed('its certificate is none that is strict version 3');
  // Who the authority has named itself is trusted as it is.
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

/** One search for a way up. */
class ChainSearch {
  readonly #question: ChainQuestion;
  /** The certificates between, each once; bounded by MAX_CHAIN_CERTIFICATES. */
  readonly #others: readonly Certificate[];
  readonly #cost: ChainCost;
  /** What was read in each certificate; bounded by those of the chain and the authorities. */
  readonly #profiles = new Map<Certificate, Profile>();
  /** Signatures that have been checked, by issuer and child; bounded by MAX_SIGNATURE_CHECKS. */
  readonly #signatures = new Map<Certificate, Map<Certificate, ReturnType<typeof issued>>>();
  /** Certificates on the way from the end entity to where the search is; bounded by MAX_INTERMEDIATES. */
  readonly #path = new Set<Certificate>();
  /** What this search has spent of its limits. */
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
   * Looks for a way up from `child`; answers the problem of the most promising one.
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

  /** Whether `issuer` has signed `child` and may do so: nothing, `no`, or what speaks against it. */
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

  /** Whether a certificate may sign others, with so many below it that do; the same for those between and authorities. */
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

/** RFC 5280 §4.1.2.2: positive, and at most 20 bytes. Authorities are as they are: some have 0. */
function checkSerial({ serialNumber }: Certificate): ChainProblem | undefined {
  const isPositive = serialNumber[0]! < 0x80 && serialNumber.some((byte) => byte !== 0);
  if (isPositive && serialNumber.length <= MAX_SERIAL_BYTES) return undefined;
  return malformed('a certificate of its chain has a serial number that is not from 1 to 20 bytes');
}

/** The first problem that says more than that a way leads nowhere. */
function morePromising(first: ChainProblem | undefined, next: ChainProblem | 'no'): ChainProblem | undefined {
  if (next === 'no') return first;
  return first === undefined || first.fault === 'unknown_ca' ? next : first;
}

function isSelfIssued(certificate: Certificate): boolean {
  return equalBytes(certificate.subject, certificate.issuer);
}
