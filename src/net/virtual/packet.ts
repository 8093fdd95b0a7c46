/** What travels in a virtual network: IP packets as plain objects. */

import { type Bytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { formatSocketAddress, ipBytes, ipNetwork, isLinkLocalIp, isLoopbackIp } from '../../base/ip.ts';
import type { Addr } from '../../core/addr.ts';
import { AddressCache } from '../../swarm-kit/address-cache.ts';

/** What an IP is for. */
export type IpKind = 'unicast' | 'link_local' | 'loopback' | 'multicast' | 'broadcast' | 'unspecified';

/** A socket address with what forwarding asks about it, worked out once. Tables are keyed by its text. */
export interface PacketAddr extends Addr {
  /** Canonical, without a zone. */
  readonly ip: string;
  readonly port: number;
  readonly isIpv6: boolean;
  readonly kind: IpKind;
  /** IPv4 as a number of 32 bits; 0 for IPv6. */
  readonly bits: number;
  /** The /64 of an IPv6 address, as text; empty for IPv4. */
  readonly prefix: string;
}

/** How many addresses a network remembers; beyond, they are made anew. */
const MAX_ADDRS = 65_536;

/** The addresses in use in one network. Bounded by {@link MAX_ADDRS}. */
export class PacketAddrs {
  readonly #cache = new AddressCache<PacketAddr>(makeAddr, MAX_ADDRS);

  /** @param ip - canonical; a zone is left out. */
  get(ip: string, port: number): PacketAddr {
    const percent = ip.indexOf('%');
    return this.#cache.get(percent < 0 ? ip : ip.slice(0, percent), port);
  }
}

function makeAddr(ip: string, port: number): PacketAddr {
  const isIpv6 = ip.includes(':');
  const bits = isIpv6 ? 0 : ipv4Bits(ip);
  const text = formatSocketAddress(ip, port);
  return { ip, port, text, isIpv6, kind: kindOf(ip, bits), bits, prefix: isIpv6 ? ipNetwork(ip) : '' };
}

/** An IPv4 address as a number. @param ip - canonical. */
export function ipv4Bits(ip: string): number {
  const [a, b, c, d] = ipBytes(ip)!;
  return ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0;
}

/** The text of {@link ipv4Bits}. */
export function ipv4Text(bits: number): string {
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}

const BROADCAST = 0xffff_ffff;
/** 127.255.255.255, of the loopback interface. */
const LOOPBACK_BROADCAST = 0x7fff_ffff;
/** 224.0.0.0/4. */
const MULTICAST_FIRST_BYTE = [224, 239] as const;

function kindOf(ip: string, bits: number): IpKind {
  if (bits === LOOPBACK_BROADCAST) return 'broadcast';
  if (isLoopbackIp(ip)) return 'loopback';
  if (isLinkLocalIp(ip)) return 'link_local';
  if (ip.includes(':')) return ip === '::' ? 'unspecified' : /^ff[0-9a-f]{2}:/.test(ip) ? 'multicast' : 'unicast';
  if (bits === 0) return 'unspecified';
  if (bits === BROADCAST) return 'broadcast';
  const first = bits >>> 24;
  return first >= MULTICAST_FIRST_BYTE[0] && first <= MULTICAST_FIRST_BYTE[1] ? 'multicast' : 'unicast';
}

/** What TCP adds to a packet. Sequence numbers begin at random and do not wrap: a connection carries less than 2^52 bytes. */
export interface TcpHeader {
  readonly syn: boolean;
  readonly ack: boolean;
  readonly fin: boolean;
  readonly rst: boolean;
  /** Of the first byte; SYN and FIN count as one. */
  readonly seq: number;
  /** The next byte that is expected, where `ack` is set. */
  readonly ackSeq: number;
  /** Bytes that the sender has room for. */
  readonly windowBytes: number;
  /** A reset that stands for an ICMP message: a router knows no way to the destination. */
  readonly isUnreachable?: boolean | undefined;
}

/** Routers that a packet may pass unless its sender says otherwise. */
export const DEFAULT_TTL = 64;

/** IP and UDP headers, and those of TCP with usual options. */
const HEADER_BYTES = { udp: 28, tcp: 52 } as const;
const MORE_FOR_IPV6 = 20;

/** A packet on its way. Routers change its addresses and its TTL. */
export class Packet {
  readonly protocol: 'udp' | 'tcp';
  src: PacketAddr;
  dst: PacketAddr;
  ttl: number;
  /** The receiver's to keep. */
  readonly payload: Bytes;
  readonly tcp: TcpHeader | undefined;
  /** Whether the link to its next device is behind it. */
  isPastLink = false;

  constructor(
    protocol: 'udp' | 'tcp',
    src: PacketAddr,
    dst: PacketAddr,
    payload: Bytes,
    ttl: number = DEFAULT_TTL,
    tcp?: TcpHeader,
  ) {
    this.protocol = protocol;
    this.src = src;
    this.dst = dst;
    this.payload = payload;
    this.ttl = ttl;
    this.tcp = tcp;
  }

  /** With headers: what links count. */
  get bytes(): number {
    return this.payload.length + HEADER_BYTES[this.protocol] + (this.dst.isIpv6 ? MORE_FOR_IPV6 : 0);
  }

  /** The same packet once more, with these bytes. */
  copy(payload: Bytes): Packet {
    return new Packet(this.protocol, this.src, this.dst, payload, this.ttl, this.tcp);
  }

  /** As in a packet trace: `udp 10.0.0.1:5000 > 11.0.0.1:53 ttl 64, 20 bytes`. */
  toString(): string {
    const { protocol, src, dst, ttl, payload, tcp } = this;
    return `${protocol} ${src.text} > ${dst.text} ttl ${ttl}${flagsOf(tcp)}, ${payload.length} bytes`;
  }
}

function flagsOf(tcp: TcpHeader | undefined): string {
  if (tcp === undefined) return '';
  const { syn, ack, fin, rst, seq, ackSeq } = tcp;
  const flags = `${syn ? 'S' : ''}${fin ? 'F' : ''}${rst ? 'R' : ''}${ack ? '.' : ''}`;
  return ` [${flags}] seq ${seq}${ack ? ` ack ${ackSeq}` : ''}`;
}

/** What answers a packet of TCP for which there is no connection (RFC 9293 §3.5.2), or, from a router, no way. */
export function resetFor({ src, dst, tcp, payload }: Packet, isUnreachable = false): Packet {
  const { seq, ack, ackSeq, syn, fin } = tcp!;
  const header = {
    syn: false,
    fin: false,
    rst: true,
    ack: !ack,
    seq: ack ? ackSeq : 0,
    ackSeq: ack ? 0 : seq + payload.length + (syn ? 1 : 0) + (fin ? 1 : 0),
    windowBytes: 0,
    isUnreachable,
  };
  return new Packet('tcp', dst, src, EMPTY_BYTES, DEFAULT_TTL, header);
}
