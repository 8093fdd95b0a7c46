/** Under which addresses a bound socket can be reached. */

import { networkInterfaces } from 'node:os';

import { type Addr, expandUnspecified, isGlobal, isLinkLocal, isLoopback, isPrivate } from '../core/addr.ts';
import { canonicalIp } from '../base/ip.ts';

/** The IPs of this machine, canonical; IPv6 link-local ones with their zone. */
export function interfaceIps(): string[] {
  const ips: string[] = [];
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const ip = canonicalIp(address);
      if (ip !== undefined) ips.push(ip.includes(':') && isLinkLocal(ip) && !ip.includes('%') ? `${ip}%${name}` : ip);
    }
  }
  return ips;
}

/** How far an address reaches: larger is farther. */
function reach(addr: Addr): number {
  if (isGlobal(addr)) return 3;
  if (isPrivate(addr)) return 2;
  if (isLinkLocal(addr)) return -1;
  return isLoopback(addr) ? 0 : 1;
}

/** The bound address, or for a wildcard one address per interface, those that reach farthest first. */
export function addrsOfBound<A extends Addr>(bound: A): readonly A[] {
  return expandUnspecified([bound], interfaceIps()).toSorted((a, b) => reach(b) - reach(a));
}
