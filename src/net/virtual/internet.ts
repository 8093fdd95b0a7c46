/**
 * A virtual internet: hosts, LANs and NATs in memory, in the time of a realm, from a seed. Whatever takes a `network` runs
 * on its hosts as it does on a machine.
 */

import { describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { type Seed, createSeededRandom } from '../../base/seeded-random.ts';
import { type Realm, assertRealm } from '../../core/realm.ts';
import { AddressPlan } from './addresses.ts';
import { createVirtualHost } from './host.ts';
import { createVirtualLan, createVirtualNat } from './nat.ts';
import type { NatKind } from './nat-rules.ts';
import { Segment } from './segment.ts';
import { Site } from './site.ts';
import type {
  VirtualHost,
  VirtualHostOptions,
  VirtualLan,
  VirtualLanOptions,
  VirtualNat,
  VirtualNatOptions,
} from './types.ts';
import type { PacketEvent } from '../packet-event.ts';
import { Wire } from './wire.ts';

/** How a virtual internet is made. */
export interface VirtualInternetOptions {
  /** Whose time; that of its hosts. */
  readonly realm: Realm;
  /** What the network draws from: losses, ports of NATs, where bytes are cut. @default 0 */
  readonly seed?: Seed | undefined;
  /** From one public address to another, one way. @default 20 */
  readonly latencyMs?: number | undefined;
  /** Routers between two public addresses, each of which takes one from the TTL. @default 8 */
  readonly hops?: number | undefined;
  /** Whether hosts and LANs have IPv6 unless they say otherwise. @default false */
  readonly ipv6?: boolean | undefined;
  /** Bytes that a TCP connection accepts before they are read, in each direction. @default 65 536 */
  readonly tcpWindowBytes?: number | undefined;
  /** Packets that may be on their way; what comes on top is lost. @default 1 000 000 */
  readonly maxPackets?: number | undefined;
  /** Gets a line for each thing that happens to a packet. @default none are made */
  readonly trace?: ((line: string) => void) | undefined;
  /** Told of each packet that a host sends, and of each that is lost. Must not throw. */
  readonly onPacket?: ((event: PacketEvent) => void) | undefined;
}

/** A network of hosts, LANs and NATs. */
export interface VirtualInternet {
  /**
   * A host: with a public address, or behind a NAT or in a LAN.
   *
   * @throws {TypeError | RangeError} for wrong options, an address that is taken, a network without a free address.
   */
  host(options?: VirtualHostOptions): VirtualHost;
  /**
   * A NAT with a LAN behind it; the kind says how it behaves, options change single rules.
   *
   * @throws {TypeError | RangeError} for wrong options.
   */
  nat(kind: NatKind, options?: VirtualNatOptions): VirtualNat;
  /**
   * A LAN without a way out, or one more behind a NAT.
   *
   * @throws {TypeError | RangeError} for wrong options.
   */
  lan(options?: VirtualLanOptions): VirtualLan;
  /**
   * Loses all packets between parts of the internet: each is a list of hosts with public addresses and of NATs, with all that is
   * behind them. What is in no part keeps its ways; a further call replaces the parts.
   *
   * @throws {TypeError} for a host or NAT that is not attached to the internet itself.
   */
  partition(...parts: readonly (readonly (VirtualHost | VirtualNat)[])[]): void;
  /** Undoes {@link VirtualInternet.partition}. */
  heal(): void;
}

/**
 * Makes a virtual internet.
 *
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * const realm = createMemoryRealm({ clock: 'virtual', seed: 7 });
 * const net = createVirtualInternet({ realm, seed: 7 });
 * const alice = net.host({ behind: net.nat('port') });
 * const { network } = alice;
 * const swarm = await openUdpSwarm({ realm: alice.realm, network });
 * ```
 */
export function createVirtualInternet(options: VirtualInternetOptions): VirtualInternet {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { realm, seed = 0, trace, onPacket, ipv6 = false } = options;
  assertRealm(realm);
  if (trace !== undefined && typeof trace !== 'function') {
    throw new TypeError(`Cannot take trace: expected a function, got ${describeValue(trace)}`);
  }
  if (onPacket !== undefined && typeof onPacket !== 'function') {
    throw new TypeError(`Cannot take onPacket: expected a function, got ${describeValue(onPacket)}`);
  }
  const wire = new Wire({
    realm,
    random: createSeededRandom(`virtual internet ${typeof seed} ${seed}`),
    maxPackets: wholeNumber(options.maxPackets, 'maxPackets', 1_000_000, 1, 2 ** 30),
    trace,
    onPacket,
  });
  const core = new Segment({
    name: 'internet',
    wire,
    latencyMs: quantity(options.latencyMs, 'latencyMs', 20, 0, Number.MAX_SAFE_INTEGER),
    hops: wholeNumber(options.hops, 'hops', 8, 0, 200),
    subnet: undefined,
    prefix: undefined,
    isLan: false,
  });
  const tcpWindowBytes = wholeNumber(options.tcpWindowBytes, 'tcpWindowBytes', 65_536, 1, 2 ** 30);
  const site = new Site({ wire, core, hasIpv6: ipv6, tcpWindowBytes }, new AddressPlan());
  return {
    host: (given = {}) => createVirtualHost(site, given),
    nat: (kind, given = {}) => createVirtualNat(site, kind, given),
    lan: (given = {}) => createVirtualLan(site, given),
    partition: (...parts) => core.partition(parts.map((part) => part.map(({ name }) => name))),
    heal: () => core.partition(undefined),
  };
}
