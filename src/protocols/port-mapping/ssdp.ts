/** The datagrams of SSDP, by which UPnP routers are searched (UPnP Device Architecture 1.1 §1.3). */

import { type Bytes, encodeText } from '../../base/bytes.ts';
import { formatSocketAddress, type SocketAddress, withoutZone } from '../../base/ip.ts';
import { headerOf, type HttpUrl, latin1, parseHttpUrl } from './http.ts';

const PORT = 1900;

/** Whom a search is sent to. @param interfaceName - for IPv6, whose groups are of a link. */
export function ssdpGroup(family: 4 | 6, interfaceName: string): SocketAddress {
  return { ip: family === 4 ? '239.255.255.250' : `ff02::c%${interfaceName}`, port: PORT };
}

/** The same for one router that is known: UPnP Device Architecture 1.1 §1.3.2. */
export function ssdpUnicast(ip: string): SocketAddress {
  return { ip, port: PORT };
}

/** What is searched at first. Some routers answer only to the name of a service, or of the other version. */
export const SSDP_TARGETS: readonly string[] = [
  'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
  'urn:schemas-upnp-org:device:InternetGatewayDevice:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
];
/** What is searched when nothing has answered to those. */
export const SSDP_ALL = 'ssdp:all';

/**
 * A search. MX, the seconds within which answers are spread, is 1, the least that is allowed: they count for 3 s.
 *
 * @param target - a device, a service, or `ssdp:all`.
 */
export function encodeSsdpSearch(to: SocketAddress, target: string): Bytes {
  const host = formatSocketAddress(withoutZone(to.ip), to.port);
  const lines = ['M-SEARCH * HTTP/1.1', `HOST: ${host}`, 'MAN: "ssdp:discover"', 'MX: 1', `ST: ${target}`];
  return encodeText(`${lines.join('\r\n')}\r\n\r\n`);
}

/** A datagram that is longer is no answer. */
const MAX_BYTES = 2048;

/** What a device answers to a search. */
export interface SsdpResponse {
  /** Where its description is. */
  readonly location: HttpUrl;
  /** What answers: the search target. */
  readonly target: string;
}

/** Reads an answer to a search; `undefined` for everything else. Never throws. */
export function decodeSsdpResponse(bytes: Uint8Array): SsdpResponse | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  const [first = '', ...lines] = latin1(bytes).split(/\r?\n/);
  if (!/^HTTP\/1\.[01] 200(?: |$)/.test(first)) return undefined;
  const location = parseHttpUrl(headerOf(lines, 'location') ?? '');
  return location === undefined ? undefined : { location, target: headerOf(lines, 'st') ?? '' };
}

/** Whether an answer can be that of a router: of an IGD, of a service that maps, or of what calls itself otherwise. */
export function isOfGateway({ target }: SsdpResponse): boolean {
  return /:(?:InternetGatewayDevice|WANConnectionDevice|WANDevice|WANIPConnection|WANPPPConnection|WANIPv6FirewallControl):[0-9]/.test(
    target,
  );
}
