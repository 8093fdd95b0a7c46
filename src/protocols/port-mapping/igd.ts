/** What a UPnP router offers, read from its description (UPnP IGD 1 and 2). */

import { withoutZone } from '../../base/ip.ts';
import { type HttpUrl, parseHttpUrl, resolveHttpUrl } from './http.ts';
import { readXml, type XmlElement } from './xml.ts';

/** A service of a router. */
export interface IgdService {
  /** `urn:schemas-upnp-org:service:WANIPConnection:1`. */
  readonly type: string;
  readonly control: HttpUrl;
}

/** The services that matter here. */
export interface IgdDescription {
  /** Those that map ports, best first. Bounded by {@link MAX_SERVICES}. */
  readonly connections: readonly IgdService[];
  /** What opens the IPv6 firewall. */
  readonly firewall: IgdService | undefined;
}

/** A router has one or two of these. */
const MAX_SERVICES = 8;
const PREFIX = 'urn:schemas-upnp-org:service:';
/** In order of preference: IGD 2 chooses a free port by itself. */
const CONNECTIONS = ['WANIPConnection:2', 'WANIPConnection:1', 'WANPPPConnection:1'].map((name) => PREFIX + name);
const FIREWALL = `${PREFIX}WANIPv6FirewallControl:1`;

const decoder = new TextDecoder();

/** Bytes of a router as text: what is no UTF-8 becomes U+FFFD. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/**
 * Reads a description. Control URLs on other hosts than `at` are left out.
 *
 * @param at - where it was.
 * @returns `undefined` when it is malformed.
 */
export function decodeIgdDescription(body: Uint8Array, at: HttpUrl): IgdDescription | undefined {
  const elements = readXml(textOf(body));
  if (elements === undefined) return undefined;
  const base = baseOf(elements, at);
  const services: IgdService[] = [];
  for (const [index, { name }] of elements.entries()) {
    if (name !== 'service') continue;
    const type = childText(elements, index, 'serviceType');
    if (type === undefined || (!CONNECTIONS.includes(type) && type !== FIREWALL)) continue;
    const control = resolveHttpUrl(childText(elements, index, 'controlURL') ?? '', base);
    // Nothing is sent to another host because of what a router writes.
    if (control === undefined || !isSameHost(control, at) || services.length >= MAX_SERVICES) continue;
    services.push({ type, control: { host: { ip: at.host.ip, port: control.host.port }, path: control.path } });
  }
  return {
    connections: CONNECTIONS.flatMap((type) => services.filter((service) => service.type === type)),
    firewall: services.find(({ type }) => type === FIREWALL),
  };
}

/** IGD 1 may name another base, which must be on the same host. */
function baseOf(elements: readonly XmlElement[], at: HttpUrl): HttpUrl {
  const text = childText(elements, 0, 'URLBase');
  const base = text === undefined ? undefined : parseHttpUrl(text);
  return base !== undefined && isSameHost(base, at) ? base : at;
}

/** Zones are of this host only. */
const isSameHost = (a: HttpUrl, b: HttpUrl): boolean => withoutZone(a.host.ip) === withoutZone(b.host.ip);

/** The text of an element's first child of this name. */
export function childText(elements: readonly XmlElement[], parent: number, name: string): string | undefined {
  return elements.find((each) => each.parent === parent && each.name === name)?.text;
}
