/** What a virtual router is made with, and what it has. */

import type { SocketAddress } from '../../src/base/ip.ts';
import type { Clock, Realm, Timer } from '../../src/core/realm.ts';

/** What a router does. */
export interface VirtualRouterOptions {
  readonly realm: Realm & { readonly clock: Clock };
  /** @default true */
  readonly pcp?: boolean;
  /** @default true */
  readonly natPmp?: boolean;
  /** The version of its IGD; `false`: no UPnP. @default 2 */
  readonly upnp?: 1 | 2 | false;
  /** Whether it has an IPv6 firewall to open, by PCP and UPnP. @default false */
  readonly ipv6?: boolean;
  /** How long it thinks before it answers: all, or each protocol. @default 0 */
  readonly answerMs?: number | Partial<Record<'pcp' | 'natPmp' | 'upnp', number>>;
  /** What it says its address outside is. @default that of the NAT */
  readonly externalIp?: string;
  /** The most seconds for which it maps. @default 86 400 */
  readonly maxLifetime?: number;
  readonly oddities?: RouterOddities;
}

/** What routers do that they should not, or need not. */
export interface RouterOddities {
  /** UPnP error 725 for leases other than 0. */
  readonly onlyPermanentLeases?: boolean;
  /** It understands only the URN of this version, whatever its description says. */
  readonly urnVersion?: 1 | 2;
  /** Errors of UPnP for an action, in order; then it works. */
  readonly faults?: Readonly<Record<string, readonly number[]>>;
  /** UPnP error 724 when the ports differ. */
  readonly samePorts?: boolean;
  /** Ports outside that others have. */
  readonly takenPorts?: readonly number[];
  /** Seconds between two bytes of each HTTP answer. */
  readonly dripMs?: number;
  /** LOCATION of its answers to searches. */
  readonly location?: string;
  /** Its description. */
  readonly description?: string;
  /** Control URLs in its description. */
  readonly controlUrl?: string;
  /** Results of PCP for requests to map, in order; then it works. */
  readonly pcpResults?: number[];
  /** The same of NAT-PMP. */
  readonly natPmpResults?: number[];
  /** It answers PCP with another nonce. */
  readonly wrongNonce?: boolean;
  /** It sends HTTP bodies in chunks. */
  readonly chunked?: boolean;
  /** Its HTTP server has another port after each restart. */
  readonly movingPort?: boolean;
  /** It does not announce that it has restarted. */
  readonly silentRestart?: boolean;
}

/** A mapping that a router has. */
export interface RouterMapping {
  readonly via: 'pcp' | 'nat-pmp' | 'upnp';
  readonly protocol: 'udp' | 'tcp';
  readonly externalPort: number;
  readonly client: SocketAddress;
  /** Seconds; 0: until it is removed. */
  readonly lifetime: number;
  /** Of PCP, in hexadecimal. */
  readonly nonce?: string;
}

/** A router that runs. */
export interface VirtualRouter {
  /** By `udp 5000`, its port outside. */
  readonly mappings: ReadonlyMap<string, RouterMapping>;
  /** What it was asked, in order: `pcp announce`, `pcp map udp 5000`, `upnp AddPortMapping`. */
  readonly log: readonly string[];
  /** Forgets everything, begins with epoch 0 and announces itself. @param downMs - how long it answers nothing before that. */
  restart(downMs?: number): Promise<void>;
  close(): Promise<void>;
}

/** A mapping with what undoes it. */
export interface RouterEntry extends RouterMapping {
  readonly forward: Disposable;
  readonly timer: Timer | undefined;
}

/** IANA's numbers. */
export const PROTOCOLS = { 17: 'udp', 6: 'tcp' } as const;

/** The key of a mapping. */
export const keyOf = (protocol: string, port: number | string): string => `${protocol} ${port}`;
