/** What the parts of a virtual internet are to those who build one. */

import type { SocketAddress } from '../../base/ip.ts';
import type { Counters } from '../../core/counters.ts';
import type { ClockedRealm } from '../../core/realm.ts';
import type { LinkConfig } from '../memory/links.ts';
import type { Network } from '../network.ts';
import type { NatRules } from './nat-rules.ts';

/** Where something is attached, and how. */
export interface VirtualAttachOptions {
  /** Behind this NAT, or in this LAN. @default directly at the internet, with public addresses */
  readonly behind?: VirtualNat | VirtualLan | undefined;
  /** Its IPv4 address. @default the next one */
  readonly ip?: string | undefined;
  /** Loss, jitter, rate and more latency of its own link, in both directions. @default none */
  readonly link?: LinkConfig | undefined;
}

/** How a host is made. */
export interface VirtualHostOptions extends VirtualAttachOptions {
  /** For traces. @default `host1`, `host2` … */
  readonly name?: string | undefined;
  /** Whether it has IPv4 addresses. @default true */
  readonly ipv4?: boolean | undefined;
  /** Whether it has IPv6 addresses. @default as where it is attached */
  readonly ipv6?: boolean | undefined;
}

/** A machine. Its sockets are `network`, its time is `realm`. */
export interface VirtualHost {
  readonly name: string;
  /** What swarms, endpoints and nodes on this host take as their `network`. */
  readonly network: Network;
  /** What they take as their `realm`: that of the internet, except that timers wait while the host sleeps. */
  readonly realm: ClockedRealm;
  /** The first IPv4 address, or the first of IPv6; empty while the host has none. */
  readonly ip: string;
  /** All addresses but those of the loopback interface; link-local ones with their zone. */
  readonly ips: readonly string[];
  /** Packets that its sockets have sent and got, and why others were dropped. */
  readonly counters: Counters;
  readonly isAsleep: boolean;
  /**
   * Leaves where it is and comes up elsewhere, with other addresses, as from Wi-Fi to cellular. Sockets that are bound to an
   * address stay there; wildcards go on.
   *
   * @param interfaceName - which of its interfaces. @default the first
   * @throws {TypeError | RangeError} as `host`.
   */
  move(to: VirtualAttachOptions, interfaceName?: string): void;
  /**
   * Adds an interface, `eth1` and so on. What is not for a network of its own leaves by the first that is up.
   *
   * @returns its name.
   * @throws {TypeError | RangeError} as `host`.
   */
  attach(to: VirtualAttachOptions): string;
  /** How the link of an interface behaves from now on. @throws {TypeError | RangeError} for a wrong link or name. */
  setLink(link: LinkConfig | undefined, interfaceName?: string): void;
  /** Takes an interface down: its addresses are gone. @throws {TypeError} when no interface has that name. */
  down(interfaceName?: string): void;
  /** Undoes {@link VirtualHost.down}. @throws {TypeError} when no interface has that name. */
  up(interfaceName?: string): void;
  /** Neither sends nor receives from now on, and its timers wait. */
  sleep(): void;
  /** Undoes {@link VirtualHost.sleep}: timers that came due meanwhile fire now, in their order. */
  wake(): void;
}

/** How a NAT is made. Rules that are not given are those of its kind. */
export interface VirtualNatOptions extends Partial<NatRules>, VirtualAttachOptions {
  /** For traces. @default `nat1`, `nat2` … */
  readonly name?: string | undefined;
  /** Whether its LAN has IPv6, with a firewall. @default as where it is attached */
  readonly ipv6?: boolean | undefined;
  /** The network of its LAN. @default '192.168.1.0/24', one number more for each NAT that it is behind; public for `open` */
  readonly subnet?: string | undefined;
  /** From one host of its LAN to another, and to the NAT. @default 0 */
  readonly lanLatencyMs?: number | undefined;
}

/** A NAT, or a router without one, with the LAN behind it. */
export interface VirtualNat {
  readonly name: string;
  /** Its IPv4 address outside. */
  readonly ip: string;
  /** Mappings that it remembers. Those that have run out count until their place is needed. */
  readonly mappings: number;
  /** Why packets were dropped. */
  readonly counters: Counters;
  /** How its link outside behaves from now on. @throws {TypeError | RangeError} for a wrong link. */
  setLink(link: LinkConfig | undefined): void;
  /** Sockets of the router itself, on its side of the LANs: for a server of PCP or UPnP, say. */
  readonly network: Network;
  /**
   * Forwards a port of the outside address to a host behind it, for every host; to an IPv6 address, through the firewall at its own
   * port. What it already has for that socket becomes this. A reboot forgets it.
   *
   * @returns disposing of it closes the port.
   * @throws {TypeError} for what is no IP.
   * @throws {RangeError} when another host has the port, or for an invalid port.
   */
  forward(protocol: 'udp' | 'tcp', port: number, to: SocketAddress): Disposable;
  /** Forgets all mappings and connections. */
  reboot(): void;
  /** The same, and comes back with another address outside. */
  renumber(): void;
}

/** How a LAN is made. */
export interface VirtualLanOptions {
  /** For traces. @default `lan1`, `lan2` … */
  readonly name?: string | undefined;
  /** Behind which NAT. @default none: there is no way out */
  readonly behind?: VirtualNat | undefined;
  /** Its network. @default '192.168.1.0/24', or another number where the NAT has that one */
  readonly subnet?: string | undefined;
  /** Whether it has IPv6. @default as the NAT, or the internet */
  readonly ipv6?: boolean | undefined;
  /** From one host to another. @default 0 */
  readonly latencyMs?: number | undefined;
}

/** A LAN. Broadcast and multicast reach all of it and stay in it. */
export interface VirtualLan {
  readonly name: string;
  /** Its network, as `192.168.1.0/24`. */
  readonly subnet: string;
}
