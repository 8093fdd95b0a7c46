/** Where the routers of a host are, for networks that do not say. */

import { ipBytes, ipOfBytes, isPrivateIp } from '../base/ip.ts';
import { maskBytes } from '../base/ip-prefix.ts';
import type { Network, NetworkInterface } from './network.ts';

/** A machine has one or two; a router with the routes of a provider has many more, and they are not for this. */
export const MAX_GATEWAYS = 8;

/** The routers of a network: those that it names, or else the first address of each private network of the host. */
export function gatewaysOf(network: Network): readonly string[] {
  return network.gateways?.() ?? firstAddresses(network.interfaces());
}

/** Where most routers are: `192.168.1.1` of 192.168.1.0/24. */
export function firstAddresses(interfaces: readonly NetworkInterface[]): readonly string[] {
  const found = interfaces.flatMap(({ ip, prefixLength, isInternal }) => {
    const bytes = ipBytes(ip);
    if (isInternal || bytes?.length !== 4 || !isPrivateIp(ip) || prefixLength > 30) return [];
    const first = maskBytes(bytes, prefixLength);
    first[3]! |= 1;
    return ipOfBytes(first) ?? [];
  });
  return [...new Set(found)].slice(0, MAX_GATEWAYS);
}
