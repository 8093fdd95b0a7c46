/**
 * `shoal/net`: IPs, ports, addresses that contain them, and the interface of sockets.
 *
 * @example
 * ```ts
 * const reachable = filterAddrs(swarm.localAddrs(), isGlobal);
 * console.log(ipOf(swarm.addr), portOf(swarm.addr));
 * ```
 */

export {
  type IpAddr,
  type NestedAddr,
  expandUnspecified,
  filterAddrs,
  ipOf,
  isGlobal,
  isLinkLocal,
  isLoopback,
  isPrivate,
  isUnspecified,
  mapAddr,
  portOf,
  unwrapAddr,
  withIp,
} from '../core/addr.ts';
export { type SocketAddress, canonicalIp, formatSocketAddress, ipVersion, parseSocketAddress } from '../base/ip.ts';
export { probeTcp } from './probe-tcp.ts';
export { parseIpSocketAddress } from './socket-address.ts';
export { addrsOfBound } from './addrs-of-bound.ts';
export { throughProxy, type ThroughProxyOptions } from './through-proxy.ts';
export { maskStreams, type MaskStreamsOptions } from './mask-streams.ts';
export {
  type DatagramOptions,
  type DatagramSink,
  type DatagramSocket,
  type DialOptions,
  type Listener,
  type ListenOptions,
  type Network,
  type NetworkInterface,
  type RawConnection,
  type StreamOptions,
} from './network.ts';
