/**
 * `shoal/udp`: one tell is one UDP datagram. Insecure, lossy, unordered: put `p2pke` or `quic` on top. A tell to an address of no
 * single host (unspecified, multicast, broadcast, reserved) rejects with `unreachable`.
 *
 * @example
 * ```ts
 * await using swarm = await openUdpSwarm({ bind: '127.0.0.1:0' });
 * swarm.listen(({ src, payload }) => swarm.tell(src, payload));
 * ```
 */

export { type UdpAddr } from '../net/socket-address.ts';
export { type UdpSwarmOptions, openUdpSwarm } from '../net/udp/open-udp-swarm.ts';
export { MAX_UDP4_BYTES, MAX_UDP6_BYTES } from '../net/udp/swarm.ts';
