/** What is needed to attach something to a virtual internet: networks, addresses and names. */

import { describeValue } from '../../base/checks.ts';
import { canonicalIp, ipVersion } from '../../base/ip.ts';
import { type AddressPlan, firstHost, ipv6Host, parseSubnet } from './addresses.ts';
import type { Gateway } from './gateway.ts';
import { ipv4Text } from './packet.ts';
import { Attachment, type Device, Segment, type Subnet } from './segment.ts';
import type { VirtualAttachOptions, VirtualLan, VirtualNat } from './types.ts';
import type { Wire } from './wire.ts';

/** A LAN of an internet, and the NAT before it. */
export interface Place {
  readonly segment: Segment;
  readonly gateway: Gateway | undefined;
  /** NATs between it and the internet. */
  readonly depth: number;
}

/** What an internet is made with. */
export interface SiteOptions {
  readonly wire: Wire;
  readonly core: Segment;
  readonly hasIpv6: boolean;
  readonly tcpWindowBytes: number;
}

/** Which families something has. */
export interface Families {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

export class Site {
  readonly wire: Wire;
  readonly core: Place;
  readonly hasIpv6: boolean;
  readonly tcpWindowBytes: number;
  readonly #plan: AddressPlan;
  readonly #places = new WeakMap<object, Place>();
  readonly #counts = new Map<string, number>(); // Bounded by the kinds of things.

  constructor(options: SiteOptions, plan: AddressPlan) {
    this.wire = options.wire;
    this.core = { segment: options.core, gateway: undefined, depth: 0 };
    this.hasIpv6 = options.hasIpv6;
    this.tcpWindowBytes = options.tcpWindowBytes;
    this.#plan = plan;
  }

  /** The next name of a kind: `nat1`, `nat2` … */
  nameOf(kind: string): string {
    const n = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, n);
    return `${kind}${n}`;
  }

  /** Remembers what hosts behind this NAT or in this LAN are attached to. */
  setPlace(of: VirtualNat | VirtualLan, place: Place): void {
    this.#places.set(of, place);
  }

  /** @throws {TypeError} for what is no NAT or LAN of this internet. */
  placeOf(behind: VirtualNat | VirtualLan | undefined): Place {
    if (behind === undefined) return this.core;
    const place = typeof behind === 'object' && behind !== null ? this.#places.get(behind) : undefined;
    if (place !== undefined) return place;
    throw new TypeError(`Cannot take behind: expected a NAT or a LAN of this internet, got ${describeValue(behind)}`);
  }

  /** Whether a place has IPv6. It cannot be asked for where the network has no IPv6. @throws {RangeError} */
  ipv6At({ segment }: Place, wanted: boolean | undefined, what: string): boolean {
    const has = segment === this.core.segment || segment.prefix !== undefined;
    if (wanted === true && !has) throw new RangeError(`Cannot give ${what} IPv6: ${segment.name} has none`);
    return wanted ?? (segment === this.core.segment ? this.hasIpv6 : has);
  }

  /** Attaches an interface, with addresses of both families. @throws {TypeError | RangeError} */
  attach(device: Device, name: string, options: VirtualAttachOptions, families: Families): Attachment {
    const { segment } = this.placeOf(options.behind);
    const ip = families.ipv4 ? this.#ipv4(segment, options.ip) : undefined;
    const attachment = new Attachment(device, name, segment);
    try {
      attachment.setLink(options.link);
    } catch (error) {
      attachment.detach();
      throw error;
    }
    if (ip !== undefined) attachment.addIp(ip, segment.subnet?.prefixLength ?? 24);
    if (!families.ipv6) return attachment;
    const host = segment.takeHostNumber();
    attachment.addIp(ipv6Host(segment.prefix ?? this.#plan.takePrefix(), host), 64);
    if (segment.isLan) attachment.addIp(ipv6Host('fe80::', host), 64);
    return attachment;
  }

  /** Makes a LAN, behind a NAT or by itself. @throws {TypeError | RangeError} */
  makeLan(options: {
    readonly name: string;
    readonly gateway: Gateway | undefined;
    readonly depth: number;
    readonly subnet: string | undefined;
    readonly defaultNumber: number;
    readonly hasIpv6: boolean;
    readonly latencyMs: number | undefined;
  }): Place {
    const { gateway, depth, hasIpv6 } = options;
    const isPublic = gateway !== undefined && !gateway.isTranslating;
    const subnet =
      options.subnet !== undefined
        ? parseSubnet(options.subnet)
        : isPublic
          ? this.#plan.takeSubnet()
          : parseSubnet(`192.168.${options.defaultNumber & 255}.0/24`);
    const segment = new Segment({
      name: options.name,
      wire: this.wire,
      latencyMs: options.latencyMs ?? 0,
      hops: 0,
      subnet,
      prefix: hasIpv6 ? this.#plan.takePrefix() : undefined,
      isLan: true,
    });
    if (gateway !== undefined) {
      const inside = gateway.attachInside(segment);
      inside.addIp(firstHost(subnet), subnet.prefixLength);
      if (hasIpv6) inside.addIp(ipv6Host('fe80::', 1), 64);
      gateway.router.routes.changed();
    }
    return { segment, gateway, depth };
  }

  /** Another address outside for a NAT. */
  renumber(attachment: Attachment): void {
    const { segment } = attachment;
    const [old] = attachment.ips;
    const ip = this.#ipv4(segment, undefined);
    if (old !== undefined) segment.withdraw(old.ip);
    attachment.ips.length = 0;
    attachment.addIp(ip, segment.subnet?.prefixLength ?? 24);
  }

  #ipv4(segment: Segment, wanted: string | undefined): string {
    if (wanted === undefined) {
      return segment.subnet === undefined ? firstHost(this.#plan.takeSubnet()) : segment.takeIpv4(ipv4Text);
    }
    const ip = typeof wanted === 'string' ? canonicalIp(wanted) : undefined;
    if (ip === undefined || ipVersion(ip) !== 4) {
      throw new TypeError(`Cannot take ip: expected an IPv4 address, got ${describeValue(wanted)}`);
    }
    const { kind } = this.wire.addrs.get(ip, 0);
    if (kind !== 'unicast' && kind !== 'link_local') {
      throw new RangeError(`Cannot take ip: ${ip} is no address of a host`);
    }
    if (segment.memberAt(ip) !== undefined) throw new RangeError(`Cannot take ip: ${ip} is taken`);
    if (segment.subnet !== undefined && !segment.isOnLink(this.wire.addrs.get(ip, 0))) {
      throw new RangeError(`Cannot take ip: ${ip} is not in ${subnetText(segment.subnet)}`);
    }
    if (segment.subnet === undefined) this.#plan.claim(ip);
    return ip;
  }
}

/** As `192.168.1.0/24`. */
export function subnetText({ base, prefixLength }: Subnet): string {
  return `${ipv4Text(base)}/${prefixLength}`;
}
