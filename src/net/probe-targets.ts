/**
 * Which addresses that others claim may be tried. A claim never proves that its author is there: it may name a victim. So some
 * addresses are never tried, and the others are rationed.
 */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { ipNetwork, isLinkLocalIp, isLoopbackIp, isPrivateIp } from '../base/ip.ts';
import { type Millis } from '../base/machine.ts';
import { unroutable } from './unroutable.ts';

/** Ports below belong to well-known services (RFC 6335 §6), and no peer of ours listens there. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/**
 * Whether an address that somebody else claims may be tried: it names a single host and no well-known port, and where it is private,
 * link-local or loopback, we have an address of that kind too.
 *
 * @param own - our own addresses.
 */
export function mayBeTried(addr: Addr, own: readonly Addr[]): boolean {
  const ip = ipOf(addr);
  if (ip === undefined) return true; // Not on an IP network: a memory realm, say.
  if (unroutable(addr) !== undefined || (portOf(addr) ?? 0) < FIRST_UNPRIVILEGED_PORT) return false;
  const kind = scopeOf(ip);
  return kind === 'global' || own.some((each) => kind === scopeOf(ipOf(each) ?? ''));
}

/** Where an IP means something: private IPv4 is told apart by its block of RFC 1918, since those are separate networks. */
function scopeOf(ip: string): string {
  if (ip === '') return 'none';
  if (isLoopbackIp(ip)) return 'loopback';
  if (isLinkLocalIp(ip)) return 'link-local';
  if (isPrivateIp(ip)) return ip.includes(':') ? ipNetwork(ip) : `${ip.split('.')[0]}.`;
  return 'global';
}

/** How many addresses that nobody has proven may be tried. */
export interface ProbeLimits {
  /** At one IP in a minute; loopback is our own machine and counts as many. @default 8 */
  readonly maxProbesPerIp: number;
  /** In all in a minute. @default 256 */
  readonly maxProbes: number;
}

const MINUTE_MS = 60_000;

/** Counts the tries of the last minute. */
export class Probes {
  readonly #limits: ProbeLimits;
  /** Oldest first. Bounded by `maxProbes`. */
  readonly #recent: { readonly atMs: Millis; readonly host: string }[] = [];

  constructor(limits: ProbeLimits) {
    this.#limits = limits;
  }

  /** Takes one try at an address, if there is one left. */
  take(now: Millis, addr: Addr): boolean {
    const recent = this.#recent;
    while (recent.length > 0 && recent[0]!.atMs <= now - MINUTE_MS) recent.shift();
    if (recent.length >= this.#limits.maxProbes) return false;
    const host = ipOf(addr) ?? addr.text;
    const here = isLoopbackIp(host) ? 0 : recent.filter((probe) => probe.host === host).length;
    if (here >= this.#limits.maxProbesPerIp) return false;
    recent.push({ atMs: now, host });
    return true;
  }
}
