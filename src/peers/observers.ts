/** Whom to ask under which address this node is seen: the STUN servers of the options, and peers, which all answer. */

import { type Addr, ipOf } from '../core/addr.ts';
import { ipVersion, parseSocketAddress, type SocketAddress } from '../base/ip.ts';
import { addressScope } from '../net/address-scope.ts';
import type { Network } from '../net/network.ts';
import type { ReachKind } from '../protocols/peers/reach/types.ts';

/** What is looked at in a peer. */
export interface ObservingPeer {
  /** Its paths, by transport. */
  readonly paths: ReadonlyMap<unknown, { readonly addr: Addr; readonly kind: ReachKind }>;
  readonly hello: { readonly addrs: readonly string[] } | undefined;
}

/** Enough for a verdict with some that do not answer. */
const MAX_OBSERVERS = 8;
const SOCKET = /^(tcp|quic):\/\/[^@]+@([^@]+)$/;

export class Observers {
  /** Set once there are peers. */
  peers: () => Iterable<ObservingPeer> = () => [];
  readonly #given: readonly SocketAddress[];
  readonly #network: Network;

  /** @param given - STUN servers, over UDP and TCP. */
  constructor(given: readonly SocketAddress[], network: Network) {
    this.#given = given;
    this.#network = network;
  }

  /** Observers over UDP (`quic`) or TCP, those of the options first. A peer in an own network does not see what a NAT makes. */
  list(transport: 'tcp' | 'quic'): readonly SocketAddress[] {
    const found = [...this.#given];
    const interfaces = this.#network.interfaces();
    for (const peer of this.peers()) {
      if (found.length >= MAX_OBSERVERS) break;
      const at = placeOf(peer, transport);
      if (at !== undefined && addressScope(at.ip, interfaces) === 'public') found.push(at);
    }
    return found;
  }
}

/** Where a peer listens: what it was dialled at, or what it names with the IP at which it is. */
function placeOf({ paths, hello }: ObservingPeer, transport: 'tcp' | 'quic'): SocketAddress | undefined {
  const ips = new Set<string>(); // Bounded by the transports.
  for (const { addr, kind } of paths.values()) {
    const ip = kind === 'direct' ? ipOf(addr) : undefined;
    if (ip !== undefined) ips.add(ip);
  }
  for (const text of hello?.addrs ?? []) {
    const [, name, at] = SOCKET.exec(text) ?? [];
    const socket = name === transport ? parseSocketAddress(at!) : undefined;
    if (socket !== undefined && ips.has(socket.ip) && ipVersion(socket.ip) !== undefined) return socket;
  }
  return undefined;
}
