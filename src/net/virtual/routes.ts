/** The interfaces of a host, and by which of them a packet leaves. */

import type { NetworkInterface } from '../network.ts';
import type { PacketAddr } from './packet.ts';
import type { Attachment } from './segment.ts';

/** How a packet leaves: by an interface, or not at all, to the host itself. */
export interface Route {
  readonly via: Attachment | undefined;
  /** From which address, unless the socket has one. */
  readonly srcIp: string;
}

const LOOPBACK = { ipv4: '127.0.0.1', ipv6: '::1' } as const;
/** Reaches all sockets of the host, as a broadcast address of a LAN does there. */
const LOOPBACK_BROADCAST = '127.255.255.255';
/** The name of the loopback interface. */
export const LOOPBACK_NAME = 'lo';

/** What a host knows of its interfaces. */
export class Routes {
  /** In order of preference. Bounded by who attaches them. */
  readonly attachments: Attachment[] = [];
  /** Changes whenever an address or an interface does. */
  version = 0;
  readonly #hasIpv6: boolean;
  /** Bounded by the listeners that are not disposed of. */
  readonly #listeners = new Set<() => void>();
  readonly #own = new Map<string, Attachment | undefined>(); // Bounded by the addresses of the host.

  /** @param hasIpv6 - whether the host has the family at all: its loopback address. */
  constructor(hasIpv6: boolean) {
    this.#hasIpv6 = hasIpv6;
    this.#collect();
  }

  get hasIpv6(): boolean {
    return this.#hasIpv6;
  }

  /** Whether the host has the address, on whatever interface. @param ip - without a zone. */
  isOwn(ip: string): boolean {
    return this.#own.has(ip) || (ip.startsWith('127.') && ip !== LOOPBACK_BROADCAST);
  }

  /** Calls the listeners after a change. */
  changed(): void {
    this.version++;
    this.#collect();
    for (const listener of this.#listeners) listener();
  }

  onChanged(listener: () => void): Disposable {
    const own = (): void => listener();
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  byName(interfaceName: string): Attachment | undefined {
    return this.attachments.find((attachment) => attachment.interfaceName === interfaceName);
  }

  interfaces(): NetworkInterface[] {
    const name = LOOPBACK_NAME;
    const found: NetworkInterface[] = [{ name, ip: LOOPBACK.ipv4, prefixLength: 8, isInternal: true }];
    if (this.#hasIpv6) found.push({ name, ip: LOOPBACK.ipv6, prefixLength: 128, isInternal: true });
    for (const { isUp, interfaceName, ips } of this.attachments) {
      if (!isUp) continue;
      for (const { ip, prefixLength } of ips) {
        const zoned = ip.startsWith('fe80:') ? `${ip}%${interfaceName}` : ip;
        found.push({ name: interfaceName, ip: zoned, prefixLength, isInternal: false });
      }
    }
    return found;
  }

  /** The routers of the LANs in which it is. */
  gateways(): string[] {
    return this.attachments.flatMap(({ isUp, device, interfaceName, segment: { router } }) =>
      isUp && router !== undefined && router.device !== device
        ? router.ips.map(({ ip }) => (ip.startsWith('fe80:') ? `${ip}%${interfaceName}` : ip))
        : [],
    );
  }

  /**
   * The way to an address.
   *
   * @param zone - the interface that the address names.
   * @param boundIp - the address of the socket, unless it is a wildcard.
   * @returns `undefined` when no route matches.
   */
  route(dst: PacketAddr, zone: string | undefined, boundIp: string | undefined): Route | undefined {
    const { isIpv6, kind } = dst;
    if (kind === 'unspecified') return undefined;
    if (dst.ip === LOOPBACK_BROADCAST) return { via: undefined, srcIp: boundIp ?? LOOPBACK.ipv4 };
    if (kind === 'loopback' || this.isOwn(dst.ip)) {
      const srcIp = kind === 'loopback' ? (isIpv6 ? LOOPBACK.ipv6 : LOOPBACK.ipv4) : dst.ip;
      return { via: undefined, srcIp: boundIp ?? srcIp };
    }
    const via = this.#leave(dst, zone, boundIp);
    const srcIp = boundIp ?? via?.ipFor(isIpv6, kind === 'link_local' || kind === 'multicast');
    return via === undefined || srcIp === undefined ? undefined : { via, srcIp };
  }

  #leave(dst: PacketAddr, zone: string | undefined, boundIp: string | undefined): Attachment | undefined {
    const usable = (attachment: Attachment | undefined): Attachment | undefined =>
      attachment?.isUp === true && attachment.ipFor(dst.isIpv6, dst.kind === 'link_local') !== undefined
        ? attachment
        : undefined;
    if (boundIp !== undefined) return usable(this.#own.get(boundIp));
    if (zone !== undefined) return usable(this.byName(zone));
    const onLink = this.attachments.find((each) => usable(each) !== undefined && each.segment.isOnLink(dst));
    if (onLink !== undefined || dst.kind === 'link_local') return onLink;
    const isLocal = dst.kind !== 'unicast';
    return this.attachments.find(
      (each) => usable(each) !== undefined && (isLocal || !each.segment.isLan || each.segment.router !== undefined),
    );
  }

  #collect(): void {
    this.#own.clear();
    this.#own.set(LOOPBACK.ipv4, undefined);
    if (this.#hasIpv6) this.#own.set(LOOPBACK.ipv6, undefined);
    for (const attachment of this.attachments) {
      if (attachment.isUp) for (const { ip } of attachment.ips) this.#own.set(ip, attachment);
    }
  }
}
