/**
 * The connection manager of a demo peer. It knows nobody beforehand, and meets the others on the LAN of this machine; behind a NAT it is not on
 * that LAN, and knows the address of one peer, which relays.
 */

import type { Realm } from 'shoal';
import type { PrivateKey } from 'shoal/keys';
import { parseSocketAddress } from 'shoal/net';
import { systemNetwork } from 'shoal/node';
import { openPeers, type Peers, type PeersOptions } from 'shoal/peers';
import { simulatedNat } from './simulated-nat.ts';

/** Reaches the nodes of this machine only. */
export const BROADCAST = '127.255.255.255';
/** A demo has as many peers as one table shows; more are not looked for. */
const MAX_PEERS = 32;
/** A peer that was killed comes back with nothing, so sessions need not wait long for it. */
const RESUME_MS = 2000;
/** How often peers tell each other of others: those behind NATs are not on the LAN. */
const EXCHANGE_EVERY_MS = 300;

/** A NAT that a demo peer is behind. */
export interface DemoNat {
  /** From 1; of this demo. */
  readonly number: number;
  /** The peer that is known: `PeerID@ip:port`. */
  readonly contact: string;
}

/** What a demo peer needs to meet the others. */
export interface DemoNodeOptions {
  readonly realm: Realm;
  readonly privateKey: PrivateKey;
  /** The port on which the peers of this demo find each other, which no other node uses. */
  readonly lanPort: number;
  /** A file for peers that could be dialled. */
  readonly cache?: string | undefined;
  /** @default none */
  readonly nat?: DemoNat | undefined;
  /** Whether it relays for others, and brings together those that punch. @default false */
  readonly relays?: boolean | undefined;
}

/** Opens a node on loopback, on ports of its own. */
export function openDemoNode(options: DemoNodeOptions): Promise<Peers> {
  const { realm, privateKey, lanPort, cache, nat, relays = false } = options;
  return openPeers({
    realm,
    privateKey,
    networkName: networkOf(lanPort),
    ...(nat === undefined ? onLan(lanPort) : behindNat(nat, realm)),
    serveRelay: relays,
    exchange: { everyMs: EXCHANGE_EVERY_MS, fanOut: MAX_PEERS },
    dht: true,
    cache,
    minPeers: MAX_PEERS,
    resumeMs: RESUME_MS,
  });
}

/** Others can dial it, so it needs no place at a relay: it uses those of others. */
function onLan(port: number): Partial<PeersOptions> {
  return { bind: '127.0.0.1:0', lan: { port, broadcast: BROADCAST }, relays: [] };
}

function behindNat({ number, contact }: DemoNat, realm: Realm): Partial<PeersOptions> {
  const insideIp = `127.77.${number}.2`;
  const network = simulatedNat({ network: systemNetwork, insideIp, nowMs: () => realm.nowMs() });
  return { bind: `${insideIp}:0`, network, contacts: [contact], fallbackAfterMs: 0, observers: [placeOf(contact)] };
}

/** The peer that is known also says as what it sees the others. */
function placeOf(contact: string): string {
  return contact.slice(contact.indexOf('@') + 1);
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
