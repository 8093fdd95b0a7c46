/** Addresses of TCP swarms: `<PeerID>@127.0.0.1:5000`. */

import { type IpAddr, makeAddr, type NestedAddr } from '../../core/addr.ts';
import { type SocketAddress, formatSocketAddress } from '../../base/ip.ts';
import { describeValue } from '../../base/checks.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { KeyedAddr } from '../../sessions/peer-sessions.ts';
import { splitPeerAddr } from '../../sessions/peer-addr.ts';
import { parseIpSocketAddress } from '../../net/socket-address.ts';

/** An IP and a TCP port. */
export interface TcpSocketAddr extends IpAddr {
  readonly net: 'tcp';
}

/** The addresses of a swarm over connections of TCP: a peer's key, and where it listens. */
export interface StreamAddr extends NestedAddr<IpAddr>, KeyedAddr {}

/** A peer's key and its listening address. */
export interface TcpAddr extends NestedAddr<TcpSocketAddr> {
  readonly net: 'tcp';
  readonly id: PeerId;
}

/** @param address - its IP is canonical, and not IPv4-mapped. */
export function tcpAddr(id: PeerId, { ip, port }: SocketAddress): TcpAddr {
  const inner = makeAddr<TcpSocketAddr>({ net: 'tcp', ip, port, text: formatSocketAddress(ip, port) });
  return makeAddr<TcpAddr>({ net: 'tcp', id, inner, text: `${id}@${inner.text}` });
}

/** @throws {TypeError | RangeError} when `text` is not a PeerID, an @, an IP and a port from 1 to 65535. */
export function parseTcpAddr(text: string): TcpAddr {
  const { id, inner } = splitPeerAddr(text);
  const address = parseIpSocketAddress(inner, 'address');
  if (address.port === 0)
    throw new TypeError(`Cannot parse address: port 0 of ${describeValue(text)} cannot be dialled`);
  return tcpAddr(id, address);
}
