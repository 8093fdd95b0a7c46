/** The links of a demo peer: every kind of socket that the demo shows, joined into one swarm. */

import { type Addr, type Realm, type SecureAskSwarm } from 'shoal';
import { type PrivateKey } from 'shoal/keys';
import { mbapp } from 'shoal/mbapp';
import { multi } from 'shoal/multi';
import { p2pke } from 'shoal/p2pke';
import { openQuicSwarm } from 'shoal/quic';
import { openTcpSwarm } from 'shoal/tcp';
import { openUdpSwarm } from 'shoal/udp';

/** A peer's swarm: addresses are `kind://…`, one for each link. */
export type DemoSwarm = SecureAskSwarm<Addr>;

/** The link that loses a datagram where a socket's buffer is full; on all others nothing may be lost. */
const LOSSY = 'p2pke';
/** The link that large transfers take. */
export const BULK_LINK = 'quic';

const bind = '127.0.0.1:0';

/** Opens all links on loopback, each on a port of its own. */
export async function openLinks(realm: Realm, privateKey: PrivateKey): Promise<DemoSwarm> {
  const [udp, quic, tcp] = await Promise.all([
    openUdpSwarm({ realm, bind }),
    openQuicSwarm({ realm, privateKey, bind }),
    openTcpSwarm({ realm, privateKey, bind }),
  ]);
  const swarm = multi({ p2pke: mbapp(p2pke(udp, { privateKey })), quic, tcp });
  // The demo takes addresses from this swarm's own parseAddr, localAddrs and messages only.
  return swarm as unknown as DemoSwarm;
}

/** The kind of link that an address belongs to: `quic` of `quic://…`. */
export function linkOf(addr: string): string {
  return addr.slice(0, addr.indexOf('://'));
}

export function isReliable(addr: string): boolean {
  return linkOf(addr) !== LOSSY;
}
