/** From which of this host's addresses which router is asked. */

import { isLinkLocalIp, isPrivateIp, sharesPrefix } from '../base/ip.ts';
import { addressScope } from '../net/address-scope.ts';
import type { NetworkInterface } from '../net/network.ts';
import { MAX_ROUTES } from '../protocols/port-mapping/machine.ts';
import type { MappingRoute } from '../protocols/port-mapping/types.ts';

/**
 * The routes. A router of IPv4 is asked from the address in its network; one of IPv6 from the first address of its interface that others
 * can route to, which is the one to be opened. An interface without a known router gets a route for searches.
 *
 * @param gateways - canonical, IPv6 link-local with zones.
 * @param isGiven - whether the program named them: then only these are asked.
 */
export function mappingRoutes(
  interfaces: readonly NetworkInterface[],
  gateways: readonly string[],
  isGiven: boolean,
): readonly MappingRoute[] {
  const routes: MappingRoute[] = [];
  const add = (own: NetworkInterface | undefined, gateway: string | undefined): void => {
    if (own === undefined || routes.length >= MAX_ROUTES) return;
    const { ip, prefixLength, name } = own;
    const family = ip.includes(':') ? 6 : 4;
    if (gateway === undefined && routes.some((route) => route.interfaceName === name && route.family === family))
      return;
    routes.push({ family, own: ip, prefixLength, interfaceName: name, gateway });
  };
  for (const gateway of gateways) {
    add(gateway.includes(':') ? ipv6To(interfaces, gateway) : ipv4To(interfaces, gateway, isGiven), gateway);
  }
  if (isGiven) return routes;
  for (const each of interfaces) {
    // Bridges of containers and virtual machines have no router that maps.
    if (each.isInternal || addressScope(each.ip, interfaces) !== 'same_subnet') continue;
    if (each.ip.includes(':') ? isRouted(each.ip) : isPrivateIp(each.ip)) add(each, undefined);
  }
  return routes;
}

function ipv4To(
  interfaces: readonly NetworkInterface[],
  gateway: string,
  isGiven: boolean,
): NetworkInterface | undefined {
  const near = interfaces.find(({ ip, prefixLength }) => sharesPrefix(ip, gateway, prefixLength));
  if (near !== undefined || !isGiven) return near;
  return interfaces.find(({ ip, isInternal }) => !isInternal && !ip.includes(':') && !isLinkLocalIp(ip));
}

function ipv6To(interfaces: readonly NetworkInterface[], gateway: string): NetworkInterface | undefined {
  const percent = gateway.indexOf('%');
  const isNear = ({ name, ip, prefixLength }: NetworkInterface): boolean =>
    percent < 0 ? sharesPrefix(ip, gateway, prefixLength) : gateway.slice(percent + 1) === name;
  return interfaces.find((each) => isNear(each) && each.ip.includes(':') && isRouted(each.ip));
}

/** Whether others may have a way to an IPv6 address. */
const isRouted = (ip: string): boolean => !isLinkLocalIp(ip) && !isPrivateIp(ip);
