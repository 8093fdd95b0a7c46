/** Which offered addresses a host may probe: what somebody claims may be a victim's. */

import {
  formatSocketAddress,
  isLinkLocalIp,
  isLoopbackIp,
  isPrivateIp,
  isSharedIp,
  type SocketAddress,
} from '../../base/ip.ts';
import { type Addr } from '../../core/addr.ts';
import { localNetworks } from '../../net/local-networks.ts';
import { type Network } from '../../net/network.ts';
import { mayBeTried } from '../../net/probe-targets.ts';

/** @param local - this host's addresses, with the port that punches. */
export function punchTargets(
  network: Network,
  local: readonly SocketAddress[],
  addrOf: (address: SocketAddress) => Addr,
): { readonly isNear: (address: SocketAddress) => boolean; readonly mayProbe: (address: SocketAddress) => boolean } {
  const networks = localNetworks(network.interfaces());
  const own = local.map(addrOf);
  const texts = new Set(local.map(({ ip, port }) => formatSocketAddress(ip, port)));
  const isNear = ({ ip }: SocketAddress): boolean => networks.some((each) => each.contains(ip));
  return {
    isNear,
    mayProbe: (address) =>
      !texts.has(formatSocketAddress(address.ip, address.port)) &&
      mayBeTried(addrOf(address), own) &&
      (!isOfOneNetwork(address.ip) || isNear(address)),
  };
}

/** Whether an IP means one host here and another one elsewhere. */
const isOfOneNetwork = (ip: string): boolean =>
  isPrivateIp(ip) || isSharedIp(ip) || isLinkLocalIp(ip) || isLoopbackIp(ip);
