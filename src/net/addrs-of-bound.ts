/** The addresses under which a bound socket can be reached. */

import { type Addr, expandUnspecified, isGlobal, isLinkLocal, isLoopback, isPrivate } from '../core/addr.ts';
import type { NetworkInterface } from './network.ts';

/** The scope of an address: larger is wider. */
function reach(addr: Addr): number {
  if (isGlobal(addr)) return 3;
  if (isPrivate(addr)) return 2;
  if (isLinkLocal(addr)) return -1;
  return isLoopback(addr) ? 0 : 1;
}

/** The bound address, or for a wildcard one address per interface, widest scope first. */
export function addrsOfBound<A extends Addr>(bound: A, interfaces: readonly NetworkInterface[]): readonly A[] {
  const ips = interfaces.map(({ ip }) => ip);
  return expandUnspecified([bound], ips).toSorted((a, b) => reach(b) - reach(a));
}
