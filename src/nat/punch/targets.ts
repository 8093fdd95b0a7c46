/** Own addresses that are offered, and offered ones that may be probed: what somebody claims may be a victim's. */

import {
  formatSocketAddress,
  isLinkLocalIp,
  isLoopbackIp,
  isPrivateIp,
  isSharedIp,
  type SocketAddress,
} from '../../base/ip.ts';
import { isLoopback } from '../../core/addr.ts';
import { addrsOfBound } from '../../net/addrs-of-bound.ts';
import { localNetworks } from '../../net/local-networks.ts';
import type { Network } from '../../net/network.ts';
import { mayBeTried } from '../../net/probe-targets.ts';
import { udpAddr } from '../../net/socket-address.ts';

/** Under which addresses a port is reached from the own networks. Loopback leads others to themselves: only where there is nothing else. */
export function localAddresses(network: Network, bound: SocketAddress): readonly SocketAddress[] {
  const all = addrsOfBound(udpAddr(bound), network.interfaces()).filter(({ ip }) => !ip.includes('%'));
  const outside = all.filter((addr) => !isLoopback(addr));
  return (outside.length > 0 ? outside : all).map(({ ip, port }) => ({ ip, port }));
}

/** @param local - this host's addresses, with the port that punches. */
export function punchTargets(
  network: Network,
  local: readonly SocketAddress[],
): { readonly isNear: (address: SocketAddress) => boolean; readonly mayProbe: (address: SocketAddress) => boolean } {
  const networks = localNetworks(network.interfaces());
  const own = local.map(udpAddr);
  const texts = new Set(own.map(({ text }) => text));
  const isNear = ({ ip }: SocketAddress): boolean => networks.some((each) => each.contains(ip));
  return {
    isNear,
    mayProbe: (address) =>
      !texts.has(formatSocketAddress(address.ip, address.port)) &&
      mayBeTried(udpAddr(address), own) &&
      (!isOfOneNetwork(address.ip) || isNear(address)),
  };
}

/** Whether an IP means one host here and another one elsewhere. */
const isOfOneNetwork = (ip: string): boolean =>
  isPrivateIp(ip) || isSharedIp(ip) || isLinkLocalIp(ip) || isLoopbackIp(ip);
