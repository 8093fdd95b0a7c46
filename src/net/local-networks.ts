/** The networks that this host is attached to directly, by interface: who is on the same LAN. */

import { broadcastIp, ipNetwork, isLinkLocalIp, sharesPrefix, withoutZone } from '../base/ip.ts';
import type { NetworkInterface } from './network.ts';

/** An interface with its addresses. */
export class LocalNetwork {
  readonly name: string;
  readonly isInternal: boolean;
  /** Its addresses, canonical. */
  readonly addresses: readonly NetworkInterface[];
  /** The IPv4 broadcast addresses of its networks. */
  readonly broadcasts: readonly string[];
  readonly hasIpv6: boolean;
  /** Its networks as one text, which changes when it is attached elsewhere. */
  readonly networks: string;

  constructor(name: string, addresses: readonly NetworkInterface[]) {
    this.name = name;
    this.addresses = addresses;
    this.isInternal = addresses.every(({ isInternal }) => isInternal);
    this.broadcasts = [...new Set(addresses.flatMap(({ ip, prefixLength }) => broadcastIp(ip, prefixLength) ?? []))];
    this.networks = [
      ...new Set(addresses.map(({ ip, prefixLength }) => broadcastIp(ip, prefixLength) ?? ipNetwork(ip))),
    ]
      .toSorted()
      .join(' ');
    this.hasIpv6 = addresses.some(({ ip }) => ip.includes(':'));
  }

  /** Whether the IP is this host's, on this interface. */
  isOwn(ip: string): boolean {
    const bare = withoutZone(ip);
    return this.addresses.some((each) => withoutZone(each.ip) === bare);
  }

  /** Whether hosts with this IP are on the LAN of the interface. A zone must name the interface. */
  contains(ip: string): boolean {
    const percent = ip.indexOf('%');
    if (percent >= 0) return ip.slice(percent + 1) === this.name;
    if (ip.includes(':') && isLinkLocalIp(ip)) return this.hasIpv6;
    return this.addresses.some((each) => sharesPrefix(ip, each.ip, each.prefixLength));
  }
}

/** The interfaces of a host, in the order in which the system lists them. */
export function localNetworks(interfaces: readonly NetworkInterface[]): readonly LocalNetwork[] {
  const byName = new Map<string, NetworkInterface[]>();
  for (const each of interfaces) byName.set(each.name, [...(byName.get(each.name) ?? []), each]);
  return Array.from(byName, ([name, addresses]) => new LocalNetwork(name, addresses));
}
