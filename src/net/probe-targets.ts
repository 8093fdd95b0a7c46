/**
 * Decides which addresses may be tried. A claim by somebody else does not prove that its author is there: it may name a
 * victim. So some addresses are never tried because of a claim, and the others once, at a limited rate.
 *
 * This is the one place with that rule. Code that dials because of a candidate asks it before each attempt.
 */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import type { Candidate, CandidateTrust } from '../core/candidate.ts';
import { formatSocketAddress, ipNetwork, isLinkLocalIp, isLoopbackIp, isPrivateIp, isSharedIp } from '../base/ip.ts';
import type { Millis } from '../base/machine.ts';
import { unroutable } from './unroutable.ts';

/** Ports below belong to well-known services (RFC 6335 §6); no peer listens there. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/**
 * Whether an address may be tried at all. What the user wrote or this node heard on its own link needs a single host
 * only. An address that was reached before must also be in a network in which this node is: elsewhere a private address
 * is another host. A claimed one must not have a well-known port either.
 *
 * @param own - this node's addresses.
 * @param trust - @default 'claimed'
 */
export function mayBeTried(addr: Addr, own: readonly Addr[], trust: CandidateTrust = 'claimed'): boolean {
  const ip = ipOf(addr);
  if (ip === undefined) return true; // Not on an IP network: a memory realm, for example.
  if (unroutable(addr) !== undefined) return false;
  if (trust === 'given') return true;
  const ips = own.map((each) => ipOf(each) ?? '');
  if (trust === 'reached') return isInOneOf(ip, ips);
  return (portOf(addr) ?? 0) >= FIRST_UNPRIVILEGED_PORT && mayBeNamed(ip, ips);
}

/**
 * Whether an IP that somebody else named may be tried: it is global, or of a network in which this node is. Loopback is this
 * machine: only nodes that are nowhere else try it, such as those of a test.
 *
 * @param own - this node's IPs.
 */
export function mayBeNamed(ip: string, own: readonly string[]): boolean {
  return isInOneOf(ip, own) && (!isLoopbackIp(ip) || own.every((each) => isLoopbackIp(each)));
}

/** Whether an IP is global, or of a network in which this node is. */
function isInOneOf(ip: string, own: readonly string[]): boolean {
  const kind = scopeOf(ip);
  return kind === 'global' || own.some((each) => kind === scopeOf(each));
}

/**
 * The network in which an IP is valid: private IPv4 addresses are distinguished by their block of RFC 1918, since those
 * are separate networks.
 */
function scopeOf(ip: string): string {
  if (ip === '') return 'none';
  if (isLoopbackIp(ip)) return 'loopback';
  if (isLinkLocalIp(ip)) return 'link-local';
  if (isSharedIp(ip)) return 'shared';
  if (isPrivateIp(ip)) return ip.includes(':') ? ipNetwork(ip) : `${ip.split('.')[0]}.`;
  return 'global';
}

/** The limits of trying claimed addresses. */
export interface ProbeLimits {
  /** Per IP and minute; loopback is this machine and exempt. @default 8 */
  readonly maxProbesPerIp: number;
  /** In total per minute. @default 256 */
  readonly maxProbes: number;
}

/** An address that somebody claims. */
export interface ProbeClaim {
  readonly addr: Addr;
  /** Whose address it is said to be: a PeerID, or another name of the claim's author. */
  readonly by: string;
  /** When the claim was made, on any one clock of its author: a later claim is a newer one. */
  readonly issuedMs: number;
}

/** Why a claimed address is not tried now. */
export type ProbeRefusal = 'refused_addr' | 'tried_before' | 'too_many_probes';

const MINUTE_MS = 60_000;
/** A tried address is not tried again before that, whatever newer claim names it; the pause doubles each time. */
const FIRST_PAUSE_MS = MINUTE_MS;
const MAX_PAUSE_MS = 24 * 60 * MINUTE_MS;
/** The same when the newer claim is another peer's: an attacker has as many keys as it wants. */
const OTHERS_PAUSE_MS = 60 * MINUTE_MS;

interface Tried {
  readonly by: string;
  readonly issuedMs: number;
  readonly atMs: Millis;
  readonly tries: number;
}

/** Decides about claimed addresses, and counts their tries. */
export class ProbeTargets {
  readonly #limits: ProbeLimits;
  /** The tries of the last minute, oldest first. Bounded by `maxProbes`. */
  readonly #recent: { readonly atMs: Millis; readonly host: string }[] = [];
  /** What was tried, by address; the latest last. Bounded by the tries of an hour: the oldest is removed. */
  readonly #tried = new Map<string, Tried>();

  constructor(limits: ProbeLimits) {
    this.#limits = limits;
  }

  /**
   * Reserves one try of a claimed address.
   *
   * @param own - this node's addresses.
   * @returns why it must not be tried now; `undefined` when it may: it then counts as tried.
   */
  take(now: Millis, claim: ProbeClaim, own: readonly Addr[]): ProbeRefusal | undefined {
    if (!mayBeTried(claim.addr, own)) return 'refused_addr';
    const target = targetOf(claim.addr);
    const before = this.#tried.get(target);
    if (before !== undefined && !isNewer(now, claim, before)) return 'tried_before';
    if (!this.#count(now, ipOf(claim.addr) ?? target)) return 'too_many_probes';
    this.#tried.delete(target);
    this.#tried.set(target, { by: claim.by, issuedMs: claim.issuedMs, atMs: now, tries: (before?.tries ?? 0) + 1 });
    if (this.#tried.size > 60 * this.#limits.maxProbes) this.#tried.delete(this.#tried.keys().next().value!);
    return undefined;
  }

  /**
   * The same for a candidate of any source: only claimed ones count as tries and are tried once.
   *
   * @param addr - the candidate's address, parsed.
   */
  takeCandidate(now: Millis, candidate: Candidate, addr: Addr, own: readonly Addr[]): ProbeRefusal | undefined {
    const { id, source, seenMs, trust = 'claimed' } = candidate;
    if (trust === 'claimed') return this.take(now, { addr, by: id ?? source, issuedMs: seenMs }, own);
    return mayBeTried(addr, own, trust) ? undefined : 'refused_addr';
  }

  /** Forgets the tries of an address at which a peer is. */
  reached(addr: Addr): void {
    this.#tried.delete(targetOf(addr));
  }

  /**
   * A try ended early because nobody waited for it any more: it says nothing of the address, so the claim may be tried once more. The try
   * still counts for the limits.
   */
  giveBack(addr: Addr): void {
    const target = targetOf(addr);
    if (this.#tried.get(target)?.tries === 1) this.#tried.delete(target);
  }

  #count(now: Millis, host: string): boolean {
    const recent = this.#recent;
    while (recent.length > 0 && recent[0]!.atMs <= now - MINUTE_MS) recent.shift();
    if (recent.length >= this.#limits.maxProbes) return false;
    const here = isLoopbackIp(host) ? 0 : recent.filter((probe) => probe.host === host).length;
    if (here >= this.#limits.maxProbesPerIp) return false;
    recent.push({ atMs: now, host });
    return true;
  }
}

/** Several peers may claim one socket: it is still one target. */
function targetOf(addr: Addr): string {
  const ip = ipOf(addr);
  return ip === undefined ? addr.text : formatSocketAddress(ip, portOf(addr) ?? 0);
}

function isNewer(now: Millis, claim: ProbeClaim, { by, issuedMs, atMs, tries }: Tried): boolean {
  const isSame = claim.by === by;
  if (isSame && claim.issuedMs <= issuedMs) return false;
  const firstMs = isSame ? FIRST_PAUSE_MS : OTHERS_PAUSE_MS;
  return now - atMs >= Math.min(firstMs * 2 ** (tries - 1), MAX_PAUSE_MS);
}
