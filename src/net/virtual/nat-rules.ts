/** How a NAT or a firewall behaves, in the words of RFC 4787 (UDP) and RFC 5382 (TCP), and the kinds that have a name. */

import { describeValue, quantity, wholeNumber } from '../../base/checks.ts';

/** On what a mapping, or leave to come in, depends: RFC 4787 §4.1 and §5. */
export type NatDependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** How a NAT chooses ports: that of the host where it is free, one after the other, or at random. */
export type NatPorts = 'preserve' | 'sequential' | 'random';

/**
 * NATs with a name.
 *
 * | kind | mapping | filtering | ports |
 * | --- | --- | --- | --- |
 * | `open` | none: hosts have public addresses | none | – |
 * | `full` | endpoint-independent | endpoint-independent | preserve |
 * | `address` | endpoint-independent | address-dependent | preserve |
 * | `port` | endpoint-independent | address-and-port-dependent | preserve |
 * | `sequential` | address-and-port-dependent | address-and-port-dependent | sequential |
 * | `random` | address-and-port-dependent | address-and-port-dependent | random |
 * | `udp-blocked` | as `port`, for TCP only | | |
 * | `443-only` | as `port`, for TCP to port 443 only | | |
 */
export type NatKind = 'open' | 'full' | 'address' | 'port' | 'sequential' | 'random' | 'udp-blocked' | '443-only';

/** How a NAT behaves. */
export interface NatRules {
  /** What gets a port of its own: each socket of a host, or each socket and destination. `none`: addresses stay. */
  readonly mapping: NatDependence | 'none';
  /** Which packets come in: all, those from addresses, or only those from ports to which the socket has sent. */
  readonly filtering: NatDependence;
  /** How the firewall filters IPv6, which is not translated; `endpoint-independent`: not at all. */
  readonly ipv6Filtering: NatDependence;
  readonly ports: NatPorts;
  /** The first and the last port of its own that it gives out. */
  readonly portRange: readonly [number, number];
  /** Whether hosts behind it reach each other by their mapped addresses. */
  readonly hairpin: boolean;
  /** What keeps a mapping: what is sent, or what comes in as well. */
  readonly refresh: 'outbound' | 'both';
  /**
   * What happens to unsolicited packets: they are dropped, or answered, for TCP with an RST. `accept`: as `drop`, but the router takes them for its own, so that
   * what a host sends to where they came from has another port, for half a minute.
   */
  readonly unsolicited: 'drop' | 'reject' | 'accept';
  readonly blockUdp: boolean;
  /** TCP ports of destinations that may be reached; `undefined`: all. */
  readonly allowTcpPorts: readonly number[] | undefined;
  /** How long a mapping of UDP lasts that is not used. */
  readonly udpTimeoutMs: number;
  /** How long an established connection of TCP may be silent. */
  readonly tcpTimeoutMs: number;
  /** The same while it is being opened or closed. */
  readonly tcpTransitoryTimeoutMs: number;
  /** Sessions (a socket and a destination) that it remembers; further ones are dropped. */
  readonly maxSessions: number;
}

const PORT: NatRules = {
  mapping: 'endpoint-independent',
  filtering: 'address-and-port-dependent',
  ipv6Filtering: 'address-and-port-dependent',
  ports: 'preserve',
  portRange: [1024, 65_535],
  hairpin: false,
  refresh: 'both',
  unsolicited: 'drop',
  blockUdp: false,
  allowTcpPorts: undefined,
  // RFC 4787 REQ-5: not less than two minutes.
  udpTimeoutMs: 120_000,
  // RFC 5382 REQ-5: not less than 2 h 4 min, and 4 min.
  tcpTimeoutMs: 7_440_000,
  tcpTransitoryTimeoutMs: 240_000,
  // Linux with 4 GiB of memory or more has 262 144, home routers 16 384 to 65 536.
  maxSessions: 65_536,
};

const SYMMETRIC: NatRules = { ...PORT, mapping: 'address-and-port-dependent' };

/** What the named kinds are. */
export const NAT_KINDS: Readonly<Record<NatKind, NatRules>> = {
  open: { ...PORT, mapping: 'none', filtering: 'endpoint-independent', ipv6Filtering: 'endpoint-independent' },
  full: { ...PORT, filtering: 'endpoint-independent' },
  address: { ...PORT, filtering: 'address-dependent' },
  port: PORT,
  sequential: { ...SYMMETRIC, ports: 'sequential' },
  random: { ...SYMMETRIC, ports: 'random' },
  'udp-blocked': { ...PORT, blockUdp: true },
  '443-only': { ...PORT, blockUdp: true, allowTcpPorts: [443] },
};

const DEPENDENCES: readonly NatDependence[] = [
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
];

function oneOf<T extends string>(value: T, label: string, words: readonly T[]): T {
  if (words.includes(value)) return value;
  throw new TypeError(`Cannot take ${label}: expected one of ${words.join(', ')}, got ${describeValue(value)}`);
}

function yesOrNo(value: boolean, label: string): boolean {
  if (typeof value === 'boolean') return value;
  throw new TypeError(`Cannot take ${label}: expected true or false, got ${describeValue(value)}`);
}

function port(value: number | undefined, label: string): number {
  return wholeNumber(value ?? Number.NaN, label, 0, 1, 65_535);
}

/** The rules of a kind, some of them replaced. @throws {TypeError | RangeError} for an unknown kind or a wrong rule. */
export function resolveNatRules(kind: NatKind, own: Partial<NatRules>): NatRules {
  oneOf(kind, 'kind', Object.keys(NAT_KINDS) as NatKind[]);
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  const rules: NatRules = { ...NAT_KINDS[kind], ...given };
  const [first, last] = rules.portRange;
  if (port(first, 'portRange') > port(last, 'portRange')) {
    throw new RangeError(`Cannot take portRange: expected the first before the last, got ${first} and ${last}`);
  }
  const timeout = (name: 'udpTimeoutMs' | 'tcpTimeoutMs' | 'tcpTransitoryTimeoutMs'): number =>
    quantity(rules[name], name, 0, 1, Infinity);
  return {
    mapping: oneOf(rules.mapping, 'mapping', ['none', ...DEPENDENCES]),
    filtering: oneOf(rules.filtering, 'filtering', DEPENDENCES),
    ipv6Filtering: oneOf(rules.ipv6Filtering, 'ipv6Filtering', DEPENDENCES),
    ports: oneOf(rules.ports, 'ports', ['preserve', 'sequential', 'random']),
    portRange: [first, last],
    hairpin: yesOrNo(rules.hairpin, 'hairpin'),
    refresh: oneOf(rules.refresh, 'refresh', ['outbound', 'both']),
    unsolicited: oneOf(rules.unsolicited, 'unsolicited', ['drop', 'reject', 'accept']),
    blockUdp: yesOrNo(rules.blockUdp, 'blockUdp'),
    allowTcpPorts: rules.allowTcpPorts?.map((allowed) => port(allowed, 'allowTcpPorts')),
    udpTimeoutMs: timeout('udpTimeoutMs'),
    tcpTimeoutMs: timeout('tcpTimeoutMs'),
    tcpTransitoryTimeoutMs: timeout('tcpTransitoryTimeoutMs'),
    maxSessions: wholeNumber(rules.maxSessions, 'maxSessions', 0, 1, 2 ** 24),
  };
}
