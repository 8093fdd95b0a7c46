/** Addresses of UDP swarms: `127.0.0.1:5000`, `[::1]:5000`, `[fe80::1%eth0]:5000`. */

import { type IpAddr, makeAddr } from '../core/addr.ts';
import { type SocketAddress, formatSocketAddress, parseSocketAddress } from '../base/ip.ts';
import { assertString, describeValue } from '../base/checks.ts';

/** An IP and a UDP port. */
export interface UdpAddr extends IpAddr {
  readonly net: 'udp';
}

/** @param ip - canonical, not IPv4-mapped. */
export function udpAddr({ ip, port }: SocketAddress): UdpAddr {
  return makeAddr<UdpAddr>({ net: 'udp', ip, port, text: formatSocketAddress(ip, port) });
}

/** @throws {TypeError} when `text` is not an IP and a port from 1 to 65535; hostnames are not accepted. */
export function parseUdpAddr(text: string): UdpAddr {
  const address = parseIpSocketAddress(text, 'address');
  if (address.port === 0)
    throw new TypeError(`Cannot parse address: port 0 of ${describeValue(text)} cannot be told to`);
  return udpAddr(address);
}

/** @throws {TypeError | RangeError} when `text` is not `ip:port`; the message says what is wrong. */
export function parseIpSocketAddress(text: string, label: string): SocketAddress {
  assertString(text, label);
  const address = parseSocketAddress(text);
  if (address !== undefined) return address;
  const shown = describeValue(text);
  const port = /:([0-9]+)$/.exec(text)?.[1];
  if (port !== undefined && Number(port) > 65_535) {
    throw new RangeError(`Cannot take ${label}: expected a port from 0 to 65535, got ${shown}`);
  }
  const host = /^([A-Za-z0-9.-]+):[0-9]+$/.exec(text)?.[1];
  if (host !== undefined && /[A-Za-z]/.test(host)) {
    throw new TypeError(`Cannot take ${label}: ${shown} has a hostname; resolve it first (node:dns) and give its IP`);
  }
  throw new TypeError(`Cannot take ${label}: expected 127.0.0.1:5000 or [::1]:5000, got ${shown}`);
}

/** @throws {TypeError} when `value` is not the address of a UDP swarm. */
export function assertUdpAddr(value: unknown): asserts value is UdpAddr {
  if (typeof value !== 'object' || value === null || !('net' in value) || value.net !== 'udp') {
    throw new TypeError(`Cannot take dst: expected a UDP address (see parseAddr), got ${describeValue(value)}`);
  }
}
