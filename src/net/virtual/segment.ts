/** Segments, to which devices are attached by interfaces: the internet in the middle, and LANs. */

import { quantity } from '../../base/checks.ts';
import type { LinkConfig } from '../memory/links.ts';
import { Netem, mangle } from '../../protocols/netem/netem.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import { type Packet, type PacketAddr, resetFor } from './packet.ts';
import type { PacketTarget, Wire } from './wire.ts';

/** What has interfaces: a host or a router. */
export interface Device {
  readonly name: string;
  readonly counters: CounterSet;
  /** A packet has come in. Never called inside a call of the user's. */
  receive(packet: Packet, from: Attachment): void;
}

/** The IPv4 network of a segment. */
export interface Subnet {
  readonly base: number;
  readonly prefixLength: number;
}

/** An address of an interface. */
export interface AttachedIp {
  readonly ip: string;
  readonly prefixLength: number;
}

/** An interface of a device, attached to a segment by a cable or by radio. */
export class Attachment implements PacketTarget {
  readonly name: string;
  /** As the device calls it: `eth0`. */
  readonly interfaceName: string;
  readonly device: Device;
  readonly segment: Segment;
  /** Without zones. Bounded by the families: three at most. */
  readonly ips: AttachedIp[] = [];
  isUp = true;
  #up: Netem | undefined;
  #down: Netem | undefined;

  constructor(device: Device, interfaceName: string, segment: Segment) {
    this.device = device;
    this.interfaceName = interfaceName;
    this.name = `${device.name} ${interfaceName}`;
    this.segment = segment;
    segment.attach(this);
  }

  get counters(): CounterSet {
    return this.device.counters;
  }

  /** How the link to the segment behaves from now on, in both directions. @throws as `netem` does */
  setLink(config: LinkConfig | undefined): void {
    const { random } = this.segment.wire;
    const make = (): Netem | undefined =>
      config === undefined || config === 'perfect' ? undefined : new Netem(config, () => random.next());
    this.#up = make();
    this.#down = make();
  }

  /** The first address of this kind, if any. */
  ipFor(isIpv6: boolean, isLinkLocal: boolean): string | undefined {
    if (!isIpv6) return this.ips.find(({ ip }) => !ip.includes(':'))?.ip;
    const local = this.ips.find(({ ip }) => ip.startsWith('fe80:'))?.ip;
    if (isLinkLocal) return local;
    return this.ips.find(({ ip }) => ip.includes(':') && ip !== local)?.ip ?? local;
  }

  addIp(ip: string, prefixLength: number): void {
    this.ips.push({ ip, prefixLength });
    this.segment.announce(ip, this);
  }

  /** Leaves the segment. */
  detach(): void {
    this.isUp = false;
    this.segment.detach(this);
    this.ips.length = 0;
  }

  /** Sends a packet into the segment. */
  send(packet: Packet): void {
    if (this.isUp) this.segment.forward(packet, this);
    else this.segment.wire.drop(this.device, packet, 'link.down');
  }

  /** Sends a packet over the own link, and then to another interface of the segment. */
  transmit(packet: Packet, to: PacketTarget, latencyMs: number): void {
    const { wire } = this.segment;
    const now = wire.clock.nowMs();
    if (this.#up === undefined) wire.carry(packet, to, now + latencyMs);
    else this.#emulate(this.#up, packet, to, latencyMs);
  }

  arrive(packet: Packet): void {
    if (!this.isUp) this.segment.wire.drop(this.device, packet, 'link.down');
    else if (this.#down === undefined || packet.isPastLink) {
      packet.isPastLink = false;
      this.device.receive(packet, this);
    } else {
      packet.isPastLink = true;
      this.#emulate(this.#down, packet, this, 0);
    }
  }

  #emulate(netem: Netem, packet: Packet, to: PacketTarget, latencyMs: number): void {
    const { wire } = this.segment;
    const fate = netem.handlePacket(wire.clock.nowMs(), packet.bytes);
    if (fate.type === 'lost') {
      wire.drop(this.device, packet, `link.${fate.reason}`);
      return;
    }
    for (const [i, { atMs, mangling }] of fate.arrivals.entries()) {
      // The checksum of TCP would not let it pass.
      if (mangling !== undefined && packet.tcp !== undefined) wire.drop(this.device, packet, 'link.corrupt');
      else {
        const isFirst = i === 0 && mangling === undefined;
        const arriving = isFirst ? packet : packet.copy(mangle(packet.payload.slice(), mangling));
        arriving.isPastLink = packet.isPastLink;
        wire.carry(arriving, to, atMs + latencyMs);
      }
    }
  }
}

/** How a segment is made. */
export interface SegmentOptions {
  readonly name: string;
  readonly wire: Wire;
  /** From one interface to another. */
  readonly latencyMs: number;
  /** Routers on the way between two interfaces: none in a LAN. */
  readonly hops: number;
  readonly subnet: Subnet | undefined;
  /** The /64, as `2a10:1::/64`. */
  readonly prefix: string | undefined;
  /** Whether broadcast and multicast reach all members. */
  readonly isLan: boolean;
}

/** A network whose members reach each other directly: a LAN, or the internet. */
export class Segment {
  readonly name: string;
  readonly wire: Wire;
  readonly counters: CounterSet = new CounterSet('segment');
  readonly hops: number;
  readonly subnet: Subnet | undefined;
  readonly prefix: string | undefined;
  readonly isLan: boolean;
  latencyMs: number;
  /** Where everything goes that is not here. */
  router: Attachment | undefined;
  /** Announces an address farther up, where hosts behind the router are known by their own addresses. */
  onAnnounce: ((ip: string, isHere: boolean) => void) | undefined;
  readonly #members = new Set<Attachment>(); // Bounded by who attaches interfaces.
  readonly #byIp = new Map<string, Attachment>(); // Bounded by the addresses of the members and of what is behind them.
  /** The part of each device by name, while the segment is parted. Bounded by the members. */
  #parts: ReadonlyMap<string, number> | undefined;
  readonly #mask: number;
  readonly #broadcastBits: number;
  #nextHost = 2;
  #nextHost6 = 2;

  constructor(options: SegmentOptions) {
    this.name = options.name;
    this.wire = options.wire;
    this.latencyMs = quantity(options.latencyMs, 'latencyMs', 0, 0, Number.MAX_SAFE_INTEGER);
    this.hops = options.hops;
    this.subnet = options.subnet;
    this.prefix = options.prefix;
    this.isLan = options.isLan;
    const { base, prefixLength } = options.subnet ?? { base: 0, prefixLength: 0 };
    this.#mask = ~hostMask(prefixLength) >>> 0;
    this.#broadcastBits = options.isLan && options.subnet !== undefined ? (base | ~this.#mask) >>> 0 : -1;
  }

  get members(): ReadonlySet<Attachment> {
    return this.#members;
  }

  attach(member: Attachment): void {
    this.#members.add(member);
  }

  detach(member: Attachment): void {
    this.#members.delete(member);
    for (const [ip, owner] of this.#byIp) if (owner === member) this.withdraw(ip);
  }

  /** From now on `member` is where the address is found. */
  announce(ip: string, member: Attachment): void {
    this.#byIp.set(ip, member);
    this.onAnnounce?.(ip, true);
  }

  withdraw(ip: string): void {
    this.#byIp.delete(ip);
    this.onAnnounce?.(ip, false);
  }

  /** Loses packets between devices of different parts. @throws {TypeError} for a device that is no member. */
  partition(parts: readonly (readonly string[])[] | undefined): void {
    const names = new Set(Array.from(this.#members, ({ device }) => device.name));
    for (const name of parts?.flat() ?? []) {
      if (!names.has(name)) throw new TypeError(`Cannot part ${this.name}: ${name} is not attached to it`);
    }
    this.#parts = parts && new Map(parts.flatMap((part, i) => part.map((name) => [name, i] as const)));
  }

  #isParted(from: Attachment, to: Attachment): boolean {
    if (this.#parts === undefined) return false;
    const [a, b] = [this.#parts.get(from.device.name), this.#parts.get(to.device.name)];
    return a !== undefined && b !== undefined && a !== b;
  }

  memberAt(ip: string): Attachment | undefined {
    return this.#byIp.get(ip);
  }

  /** Whether the address belongs to the network of the segment. */
  isOnLink(addr: PacketAddr): boolean {
    if (addr.kind === 'link_local') return this.isLan;
    if (addr.isIpv6) return addr.prefix === this.prefix;
    return this.subnet !== undefined && (addr.bits & this.#mask) >>> 0 === this.subnet.base;
  }

  /** Whether the address is the broadcast address: 192.168.1.255 of 192.168.1.0/24. */
  isBroadcast(addr: PacketAddr): boolean {
    return addr.bits === this.#broadcastBits || addr.kind === 'broadcast';
  }

  /** The next free IPv4 address of the subnet. @throws {RangeError} when it is full. */
  takeIpv4(text: (bits: number) => string): string {
    const { base, prefixLength } = this.subnet!;
    for (; this.#nextHost < hostMask(prefixLength); this.#nextHost++) {
      const ip = text((base + this.#nextHost) >>> 0);
      if (!this.#byIp.has(ip)) return ip;
    }
    throw new RangeError(`Cannot attach to ${this.name}: its ${hostMask(prefixLength) - 1} addresses are taken`);
  }

  /** The next number of a host for its IPv6 addresses. */
  takeHostNumber(): number {
    return this.#nextHost6++;
  }

  forward(packet: Packet, from: Attachment): void {
    const { dst } = packet;
    if (this.isLan && (dst.kind === 'multicast' || this.isBroadcast(dst))) {
      this.#flood(packet, from);
      return;
    }
    const to = this.#byIp.get(dst.ip) ?? (this.isOnLink(dst) ? undefined : this.router);
    if (to === undefined || to === from) this.#unreachable(packet, from);
    else if (this.#isParted(from, to)) this.wire.drop(from.device, packet, 'link.cut');
    else if (packet.ttl <= this.hops) this.wire.drop(from.device, packet, 'ip.ttl');
    else {
      packet.ttl -= this.hops;
      from.transmit(packet, to, this.latencyMs);
    }
  }

  /** Nobody has the address: of connections the sender hears, as by ICMP or from its own table of neighbours. */
  #unreachable(packet: Packet, from: Attachment): void {
    this.wire.drop(from.device, packet, 'ip.no_host');
    if (packet.tcp?.rst !== false) return;
    const afterMs = this.isLan ? NO_NEIGHBOUR_MS : 2 * this.latencyMs;
    this.wire.carry(resetFor(packet, true), from, this.wire.clock.nowMs() + afterMs);
  }

  /** Everybody but the sender gets a copy. */
  #flood(packet: Packet, from: Attachment): void {
    for (const member of this.#members) {
      if (member !== from) from.transmit(packet.copy(packet.payload.slice()), member, this.latencyMs);
    }
  }
}

/** How long a host looks for one that is not there: three questions, a second each (RFC 4861 §10; Linux does so for ARP). */
const NO_NEIGHBOUR_MS = 3000;

/** The bits of the hosts of a subnet, all set. */
export function hostMask(prefixLength: number): number {
  return prefixLength === 0 ? 0xffff_ffff : 2 ** (32 - prefixLength) - 1;
}
