/** Hosts with addresses of one's choice that all reach each other, for tests that are not about networks. */

import type { Seed } from '../../src/base/seeded-random.ts';
import type { Realm } from '../../src/core/realm.ts';
import type { Network } from '../../src/net/network.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';

/** How such a network is. */
export interface FlatNetworkOptions {
  readonly realm: Realm;
  readonly seed?: Seed | undefined;
  /** From one host to another. @default 0 */
  readonly latencyMs?: number | undefined;
  readonly windowBytes?: number | undefined;
}

export interface FlatNetwork {
  /** The sockets of the host with this IP, which is made when it is first asked for. */
  host(ip: string): Network;
}

export function flatNetwork({ realm, seed, latencyMs = 0, windowBytes }: FlatNetworkOptions): FlatNetwork {
  const net = createVirtualInternet({ realm, seed, latencyMs, tcpWindowBytes: windowBytes, ipv6: true });
  const hosts = new Map<string, Network>(); // Bounded by the test.
  return {
    host: (ip) => {
      const known = hosts.get(ip) ?? net.host({ ip }).network;
      hosts.set(ip, known);
      return known;
    },
  };
}
