/** Addresses as text on a LAN: which of the own ones are announced there, and which of a peer's are taken. */

import {
  formatSocketAddress,
  ipVersion,
  isLinkLocalIp,
  isUnspecifiedIp,
  parseSocketAddress,
  type SocketAddress,
  whyNoHost,
  withoutZone,
} from '../base/ip.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { LocalNetwork } from '../net/local-networks.ts';
import { leadsTo } from './peer-record.ts';

/** `quic://<PeerID>@192.0.2.1:5000` as what stands before the socket address, and that; `undefined` without one. */
function split(text: string): { readonly prefix: string; readonly address: SocketAddress } | undefined {
  const at = Math.max(text.lastIndexOf('@') + 1, text.lastIndexOf('://') + 3, 0);
  const start = text.lastIndexOf('@') < 0 && !text.includes('://') ? 0 : at;
  const address = parseSocketAddress(text.slice(start));
  return address === undefined ? undefined : { prefix: text.slice(0, start), address };
}

/** The port of an address; `undefined` when it has none. */
export function portOfText(text: string): number | undefined {
  return split(text)?.address.port;
}

/**
 * The addresses to announce on a LAN: those with an IP of the host there, without zones, which mean nothing to others.
 * Unspecified IPs stand for all of them.
 */
export function ownAddrsOn(network: LocalNetwork, texts: readonly string[]): readonly string[] {
  const found = new Set<string>(); // Bounded by the caller's texts and the addresses of the interface.
  for (const text of texts) {
    const parts = split(text);
    if (parts === undefined || parts.address.port === 0) continue;
    const { ip, port } = parts.address;
    const ips = isUnspecifiedIp(ip)
      ? network.addresses.flatMap((each) => (ip === '::' || ipVersion(each.ip) === 4 ? [each.ip] : []))
      : network.isOwn(ip)
        ? [ip]
        : [];
    for (const each of ips) found.add(parts.prefix + formatSocketAddress(withoutZone(each), port));
  }
  return [...found];
}

/**
 * An address that a peer on a LAN has announced, as this host dials it; `undefined` when the peer may not name it: another
 * peer's, of a host elsewhere, or of none.
 */
export function admittedAddr(network: LocalNetwork, text: string, id: PeerId): string | undefined {
  const parts = split(text);
  if (parts === undefined || parts.address.port === 0) return undefined;
  if (parts.prefix.includes('@') && !leadsTo(text, id)) return undefined;
  const { ip, port } = parts.address;
  if (ip.includes('%') || whyNoHost(ip) !== undefined || network.broadcasts.includes(ip)) return undefined;
  if (!network.contains(ip)) return undefined;
  const zoned = ip.includes(':') && isLinkLocalIp(ip) ? `${ip}%${network.name}` : ip;
  return parts.prefix + formatSocketAddress(zoned, port);
}
