/** The connection manager of a demo peer: it knows nobody beforehand, and meets the others on the LAN of this machine. */

import { type Realm } from 'shoal';
import { type PrivateKey } from 'shoal/keys';
import { parseSocketAddress } from 'shoal/net';
import { openPeers, type Peers } from 'shoal/peers';

/** Reaches the nodes of this machine only. */
export const BROADCAST = '127.255.255.255';
/** A demo has as many peers as one table shows; more are not looked for. */
const MAX_PEERS = 32;
/** A peer that was killed comes back with nothing, so sessions need not wait long for it. */
const RESUME_MS = 2000;

/** What a demo peer needs to meet the others. */
export interface DemoNodeOptions {
  readonly realm: Realm;
  readonly privateKey: PrivateKey;
  /** The port on which the peers of this demo find each other, which no other node uses. */
  readonly lanPort: number;
  /** A file for peers that could be dialled. */
  readonly cache?: string | undefined;
}

/** Opens a node on loopback, on ports of its own. */
export function openDemoNode({ realm, privateKey, lanPort, cache }: DemoNodeOptions): Promise<Peers> {
  return openPeers({
    realm,
    privateKey,
    networkName: networkOf(lanPort),
    bind: '127.0.0.1:0',
    lan: { port: lanPort, broadcast: BROADCAST },
    cache,
    minPeers: MAX_PEERS,
    resumeMs: RESUME_MS,
  });
}

/** Two demos never meet, even if they came to the same port. */
function networkOf(lanPort: number): string {
  return `shoal demo ${lanPort}`;
}

/** The port in the address of a demo; `undefined` when it is no such address. */
export function lanPortOf(addr: string): number | undefined {
  const place = parseSocketAddress(addr);
  return place?.ip === BROADCAST && place.port !== 0 ? place.port : undefined;
}
