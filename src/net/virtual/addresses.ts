/** Which addresses a virtual internet gives out. */

import { canonicalIp, ipVersion } from '../../base/ip.ts';
import { describeValue } from '../../base/checks.ts';
import { ipv4Bits, ipv4Text } from './packet.ts';
import { type Subnet, hostMask } from './segment.ts';

/** 11.0.0.0/8: global unicast, so that what asks whether an address is public gets the answer of the real internet. */
const FIRST_PUBLIC_IPV4 = ipv4Bits('11.0.0.0');
/** 2a10::/16, of which each LAN gets a /64. */
const PUBLIC_IPV6 = '2a10';
const MAX_SITES = 65_536;

/** Gives every site networks of its own: a /24 and a /64. */
export class AddressPlan {
  #ipv4 = 0;
  #ipv6 = 0;
  /** Networks of hosts that were given an address. Bounded by the hosts. */
  readonly #claimed = new Set<number>();

  /** Notes an address that a host was given: its /24 is not given out. */
  claim(ip: string): void {
    this.#claimed.add((ipv4Bits(ip) & ~255) >>> 0);
  }

  /** The next public /24. @throws {RangeError} when all are taken. */
  takeSubnet(): Subnet {
    while (this.#ipv4 < MAX_SITES) {
      const base = FIRST_PUBLIC_IPV4 + this.#ipv4++ * 256;
      if (!this.#claimed.has(base)) return { base, prefixLength: 24 };
    }
    throw new RangeError(`Cannot attach: all ${MAX_SITES} public networks are taken`);
  }

  /** The next public /64. */
  takePrefix(): string {
    const n = this.#ipv6++;
    return `${canonicalIp(`${PUBLIC_IPV6}:${(n >>> 16).toString(16)}:${(n & 0xffff).toString(16)}::`)!}/64`;
  }
}

/** The first address of a network for a host. */
export function firstHost({ base }: Subnet): string {
  return ipv4Text(base + 1);
}

/** Address number `host` of a /64, or of fe80::/64. */
export function ipv6Host(prefix: string, host: number): string {
  return canonicalIp(`${prefix.slice(0, prefix.lastIndexOf('::'))}::${host.toString(16)}`)!;
}

/** Reads `192.168.1.0/24`. @throws {TypeError | RangeError} for a text that is not a subnet. */
export function parseSubnet(text: string): Subnet {
  const [ip, bits] = typeof text === 'string' ? text.split('/') : [];
  const prefixLength = Number(bits);
  if (ip === undefined || ipVersion(ip) !== 4 || !Number.isInteger(prefixLength)) {
    throw new TypeError(`Cannot take subnet: expected one such as 192.168.1.0/24, got ${describeValue(text)}`);
  }
  if (prefixLength < 8 || prefixLength > 30) {
    throw new RangeError(`Cannot take subnet: expected a prefix of 8 to 30 bits, got ${describeValue(text)}`);
  }
  const base = ipv4Bits(ip);
  if ((base & hostMask(prefixLength)) !== 0) {
    throw new RangeError(`Cannot take subnet: ${describeValue(text)} is an address in a network, not a network`);
  }
  return { base, prefixLength };
}
