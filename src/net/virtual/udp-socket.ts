/** A UDP socket of a virtual host. */

import { copyMessage, type Bytes } from '../../base/bytes.ts';
import { wholeNumber } from '../../base/checks.ts';
import { type SocketAddress, canonicalIp, isUnspecifiedIp, withoutZone } from '../../base/ip.ts';
import { later } from '../../runtime/later.ts';
import type { DatagramOptions, DatagramSink, DatagramSocket } from '../network.ts';
import type { SocketHost } from './socket-host.ts';
import { DEFAULT_TTL, Packet, type PacketAddr } from './packet.ts';
import { LOOPBACK_NAME, type Route } from './routes.ts';
import type { Attachment } from './segment.ts';

/** The largest payloads: 65535 less the headers. */
const MAX_BYTES = { ipv4: 65_507, ipv6: 65_527 } as const;
/** What sockets have that ask for nothing; Linux's default. */
const DEFAULT_BUFFER_BYTES = 212_992;
/** Groups that one socket may join, as in Linux (igmp_max_memberships is 20 there). */
const MAX_GROUPS = 20;
/** RFC 1112 §6.1. */
const MULTICAST_TTL = 1;

export class VirtualDatagramSocket implements DatagramSocket {
  readonly address: SocketAddress;
  readonly options: DatagramOptions;
  sink: DatagramSink | undefined;
  readonly queuedDatagrams = 0;
  readonly queuedBytes = 0;
  readonly mayWait = false;
  readonly #stack: SocketHost;
  readonly #release: () => void;
  /** `undefined` for a wildcard. */
  readonly #boundIp: string | undefined;
  readonly #groups = new Set<string>(); // Bounded by MAX_GROUPS.
  #multicastInterface: string | undefined;
  #mayBroadcast = false;
  #ttl = DEFAULT_TTL;
  #multicastTtl = MULTICAST_TTL;
  #isClosed = false;
  /** The way to the host to which it sent last. */
  #lastDst: PacketAddr | undefined;
  #lastSrc: PacketAddr | undefined;
  #lastVia: Attachment | undefined;
  #lastVersion = -1;

  constructor(stack: SocketHost, options: DatagramOptions, release: () => void) {
    this.#stack = stack;
    this.options = options;
    this.address = options.bind;
    this.#release = release;
    this.#boundIp = isUnspecifiedIp(options.bind.ip) ? undefined : withoutZone(options.bind.ip);
  }

  get recvBufferBytes(): number {
    return this.options.recvBufferBytes ?? DEFAULT_BUFFER_BYTES;
  }

  get sendBufferBytes(): number {
    return this.options.sendBufferBytes ?? DEFAULT_BUFFER_BYTES;
  }

  send(payload: Uint8Array, ip: string, port: number, ttl?: number): void {
    this.#assertOpen();
    const stack = this.#stack;
    const dst = stack.wire.addrs.get(ip, wholeNumber(port, 'port', 0, 1, 65_535));
    if (ttl !== undefined) wholeNumber(ttl, 'ttl', 0, 1, 255);
    if (payload.length > (dst.isIpv6 ? MAX_BYTES.ipv6 : MAX_BYTES.ipv4)) {
      this.#failed('EMSGSIZE', ip, port);
      return;
    }
    if (dst === this.#lastDst && stack.routes.version === this.#lastVersion) {
      stack.send(new Packet('udp', this.#lastSrc!, dst, copyMessage(payload), ttl ?? this.#ttl), this.#lastVia);
      return;
    }
    if (!this.#hasFamily(dst.isIpv6)) {
      this.#failed('EINVAL', ip, port);
      return;
    }
    const isMulticast = dst.kind === 'multicast';
    const isBroadcast = !isMulticast && stack.isBroadcast(dst);
    if (isBroadcast && !this.#mayBroadcast) {
      this.#failed('EACCES', ip, port);
      return;
    }
    const route = this.#routeTo(dst, ip, isMulticast || isBroadcast);
    if (route === undefined) {
      this.#failed('ENETUNREACH', ip, port);
      return;
    }
    const src = stack.wire.addrs.get(route.srcIp, this.address.port);
    const hops = ttl ?? (isMulticast ? this.#multicastTtl : this.#ttl);
    const packet = new Packet('udp', src, dst, copyMessage(payload), hops);
    if (isMulticast || isBroadcast) stack.sendToMany(packet, route.via);
    else {
      stack.send(packet, route.via);
      this.#lastDst = ip.includes('%') ? undefined : dst;
      this.#lastSrc = src;
      this.#lastVia = route.via;
      this.#lastVersion = stack.routes.version;
    }
  }

  setTtl(ttl: number): void {
    this.#ttl = wholeNumber(ttl, 'ttl', DEFAULT_TTL, 1, 255);
  }

  setMulticastTtl(ttl: number): void {
    this.#multicastTtl = wholeNumber(ttl, 'ttl', MULTICAST_TTL, 1, 255);
  }

  setBroadcast(allowed: boolean): void {
    this.#mayBroadcast = allowed;
  }

  joinMulticast(group: string, interfaceName?: string): void {
    this.#assertOpen();
    if (this.#groups.size >= MAX_GROUPS) throw new Error(`Cannot join ${group}: ${MAX_GROUPS} groups are joined`);
    const key = this.#groupKey(group, interfaceName);
    if (this.#groups.has(key)) throw new Error(`Cannot join ${group}: it is joined already`);
    this.#groups.add(key);
  }

  leaveMulticast(group: string, interfaceName?: string): void {
    this.#assertOpen();
    if (!this.#groups.delete(this.#groupKey(group, interfaceName))) {
      throw new Error(`Cannot leave ${group}: it was not joined`);
    }
  }

  setMulticastInterface(interfaceName: string): void {
    this.#multicastInterface = this.#interfaceNamed(interfaceName);
  }

  close(): Promise<void> {
    if (!this.#isClosed) this.#release();
    this.#isClosed = true;
    this.sink = undefined;
    return Promise.resolve();
  }

  /** Whether it gets what is sent to this address of the host. */
  isBoundFor({ ip, isIpv6 }: PacketAddr): boolean {
    if (this.#boundIp !== undefined) return this.#boundIp === ip;
    return this.#hasFamily(isIpv6);
  }

  /** Whether it receives this multicast group, or broadcasts. */
  takes(dst: PacketAddr, interfaceName: string): boolean {
    if (this.sink === undefined || (this.#boundIp !== undefined && this.#boundIp !== dst.ip)) return false;
    if (!this.#hasFamily(dst.isIpv6)) return false;
    return dst.kind !== 'multicast' || this.#groups.has(`${dst.ip}%${interfaceName}`);
  }

  deliver(payload: Bytes, src: PacketAddr, interfaceName: string): void {
    const ip = src.kind === 'link_local' && src.isIpv6 ? `${src.ip}%${interfaceName}` : src.ip;
    this.sink?.onDatagram(payload, ip, src.port);
  }

  #hasFamily(isIpv6: boolean): boolean {
    const { ip } = this.address;
    return ip.includes(':') === isIpv6 || (ip === '::' && this.options.ipv6Only !== true);
  }

  #routeTo(dst: PacketAddr, ip: string, isForMany: boolean): Route | undefined {
    const percent = ip.indexOf('%');
    const zone = percent < 0 ? (isForMany ? this.#multicastInterface : undefined) : ip.slice(percent + 1);
    if (isForMany && zone === LOOPBACK_NAME) return { via: undefined, srcIp: this.#boundIp ?? '127.0.0.1' };
    return this.#stack.routes.route(dst, zone, this.#boundIp);
  }

  #groupKey(group: string, interfaceName: string | undefined): string {
    const ip = canonicalIp(group);
    const dst = ip === undefined ? undefined : this.#stack.wire.addrs.get(ip, 0);
    if (dst?.kind !== 'multicast') throw new Error(`Cannot join ${group}: it is no group`);
    const name = interfaceName ?? this.#stack.routes.route(dst, undefined, undefined)?.via?.interfaceName;
    if (name === undefined) throw new Error(`Cannot join ${group}: there is no interface`);
    return `${dst.ip}%${this.#interfaceNamed(name)}`;
  }

  #interfaceNamed(name: string): string {
    if (name === LOOPBACK_NAME || this.#stack.routes.byName(name) !== undefined) return name;
    throw new Error(`This machine has no interface ${name}`);
  }

  /** As the system tells of it: later. */
  #failed(code: string, ip: string, port: number): void {
    const error = Object.assign(new Error(`send ${code} ${ip}:${port}`), { code, address: ip, port });
    later(this.#stack.realm, () => this.sink?.onSendFailed?.(error, { ip, port }));
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error('The socket is closed');
  }
}
