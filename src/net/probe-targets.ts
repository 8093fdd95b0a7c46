/**
 * Decides which addresses claimed by others may be tried. A claim does not prove that its author is there: it may name
 * a victim. So some addresses are never tried, and the others at a limited rate.
 */

import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { ipNetwork, isLinkLocalIp, isLoopbackIp, isPrivateIp, isSharedIp } from '../base/ip.ts';
import { type Millis } from '../base/machine.ts';
import { unroutable } from './unroutable.ts';

/** Ports below belong to well-known services (RFC 6335 §6); no peer listens there. */
const FIRST_UNPRIVILEGED_PORT = 1024;

/**
 * Whether an address claimed by another peer may be tried: it names a single host and no well-known port, and if it is
 * private, shared, link-local or loopback, this node has an address of that kind too.
 *
 * @param own - this node's addresses.
 */
export function mayBeTried(addr: Addr, own: readonly Addr[]): boolean {
  const ip = ipOf(addr);
  if (ip === undefined) return true; // Not on an IP network: a memory realm, for example.
  if (unroutable(addr) !== undefined || (portOf(addr) ?? 0) < FIRST_UNPRIVILEGED_PORT) return false;
  const kind = scopeOf(ip);
  return kind === 'global' || own.some((each) => kind === scopeOf(ipOf(each) ?? ''));
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

/** The limits of trying unverified addresses. */
export interface ProbeLimits {
  /** Per IP and minute; loopback is this machine and exempt. @default 8 */
  readonly maxProbesPerIp: number;
  /** In total per minute. @default 256 */
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

  /** Reserves one try of an address. @returns whether one was left */
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
