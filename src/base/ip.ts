/**
 * IP addresses as canonical text: strict parsing, RFC 5952 formatting, and classification.
 *
 * Sources: RFC 4291 (IPv6), RFC 5952 (its text), RFC 6890 with the IANA special-purpose registries (classes).
 */

/** A parsed IP: 4 or 16 bytes, and the zone of a scoped IPv6 address (`eth0` in `fe80::1%eth0`). */
interface ParsedIp {
  readonly bytes: Uint8Array;
  readonly zone: string | undefined;
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups: number[][] = [];
  for (const [h, half] of halves.entries()) {
    const words: number[] = [];
    const parts = half === '' ? [] : half.split(':');
    for (const [i, part] of parts.entries()) {
      if (part.includes('.')) {
        const v4 = parseIpv4(part);
        if (v4 === undefined || i !== parts.length - 1 || h !== halves.length - 1) return undefined;
        words.push(v4[0]! * 256 + v4[1]!, v4[2]! * 256 + v4[3]!);
      } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) words.push(Number.parseInt(part, 16));
      else return undefined;
    }
    groups.push(words);
  }
  const head = groups[0]!;
  const tail = groups[1] ?? [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const words = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const bytes = new Uint8Array(16);
  for (const [i, word] of words.entries()) {
    bytes[2 * i] = word >> 8;
    bytes[2 * i + 1] = word & 0xff;
  }
  return bytes;
}

function parse(text: string): ParsedIp | undefined {
  const percent = text.indexOf('%');
  const zone = percent < 0 ? undefined : text.slice(percent + 1);
  // A zone is an interface name or index (RFC 4007 §11.2); characters that are part of the address syntax are refused.
  if (zone !== undefined && !/^[A-Za-z0-9._~-]{1,32}$/.test(zone)) return undefined;
  const bare = percent < 0 ? text : text.slice(0, percent);
  const bytes = bare.includes(':') ? parseIpv6(bare) : zone === undefined ? parseIpv4(bare) : undefined;
  return bytes === undefined ? undefined : { bytes, zone };
}

/** Whether a 16-byte address is an IPv4-mapped one, `::ffff:0:0/96`. */
function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && hasPrefix(bytes, MAPPED_PREFIX, 96);
}

const MAPPED_PREFIX = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

function format(bytes: Uint8Array, zone: string | undefined): string {
  if (bytes.length === 4) return bytes.join('.');
  const suffix = zone === undefined ? '' : `%${zone}`;
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}${suffix}`;
  const words = Array.from({ length: 8 }, (_, i) => bytes[2 * i]! * 256 + bytes[2 * i + 1]!);
  // RFC 5952 §4.2: the longest run of two or more zero words, the first one of equal runs, becomes `::`.
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && words[i + run] === 0) run++;
    if (run > length) {
      start = i;
      length = run;
    }
  }
  const hex = words.map((word) => word.toString(16));
  if (start < 0) return hex.join(':') + suffix;
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}${suffix}`;
}

/**
 * The canonical text of an IP; `undefined` when `text` is not an IP. IPv4-mapped IPv6 addresses become plain IPv4, so
 * one endpoint has one text. No hostnames, no leading zeros, no brackets. Never throws.
 */
export function canonicalIp(text: string): string | undefined {
  const parsed = parse(text);
  if (parsed === undefined) return undefined;
  return isMapped(parsed.bytes) ? format(parsed.bytes.subarray(12), undefined) : format(parsed.bytes, parsed.zone);
}

/** The 4 or 16 bytes of an IP, without its zone; `undefined` when the text is not an IP. */
export function ipBytes(text: string): Uint8Array | undefined {
  return parse(text)?.bytes;
}

/** The canonical text of the 4 or 16 bytes of an IP; an IPv4-mapped address becomes IPv4. */
export function ipOfBytes(bytes: Uint8Array): string | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  return isMapped(bytes) ? format(bytes.subarray(12), undefined) : format(bytes, undefined);
}

/** An IP without the interface that it names: what is sent to others (RFC 6874 §4). */
export function withoutZone(ip: string): string {
  const percent = ip.indexOf('%');
  return percent < 0 ? ip : ip.slice(0, percent);
}

/** 4 or 6; `undefined` when `ip` is not an IP. */
export function ipVersion(ip: string): 4 | 6 | undefined {
  const parsed = parse(ip);
  return parsed === undefined ? undefined : parsed.bytes.length === 4 ? 4 : 6;
}

/**
 * The network of one customer, for limits per source: an IPv4 address, or the first 64 bits of an IPv6 address (RFC
 * 6177 §2 gives every site at least that) as `2001:db8::/64`.
 *
 * @param ip - canonical.
 */
export function ipNetwork(ip: string): string {
  if (!ip.includes(':')) return ip;
  const parsed = parse(ip);
  if (parsed === undefined) return ip;
  return `${format(parsed.bytes.fill(0, 8), parsed.zone)}/64`;
}

/** `ip:port`, with brackets around IPv6. */
export function formatSocketAddress(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** An IP and a port. */
export interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

/**
 * Parses `1.2.3.4:5`, `[::1]:5` or `[fe80::1%eth0]:5`; the returned IP is canonical. `undefined` for everything else:
 * hostnames, IPv6 without brackets, ports that are not plain decimal 0 to 65535. Never throws.
 */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(0|[1-9][0-9]{0,4})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, portText] = match;
  const port = Number(portText);
  if (port > 65535 || (bracketed !== undefined && !bracketed.includes(':'))) return undefined;
  const ip = canonicalIp(bracketed ?? plain!);
  return ip === undefined ? undefined : { ip, port };
}

/** Whether the first bits of two addresses of one family are the same. @param bits - at most those of the shorter one. */
export function hasPrefix(bytes: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[i] !== prefix[i]) return false;
  const rest = bits & 7;
  if (rest === 0) return true;
  const mask = (0xff << (8 - rest)) & 0xff;
  return (bytes[whole]! & mask) === (prefix[whole]! & mask);
}

/**
 * Whether two IPs of one family have the same first bits. Zones are ignored; false for a text that is not an IP.
 *
 * @param bits - a whole number, 0 to 32 or 128.
 */
export function sharesPrefix(a: string, b: string, bits: number): boolean {
  const [one, other] = [bytesOf(a), bytesOf(b)];
  return one !== undefined && other !== undefined && one.length === other.length && hasPrefix(one, other, bits);
}

/** The broadcast address of the network of an IPv4 address; `undefined` for IPv6, and for a network without one. */
export function broadcastIp(ip: string, prefixLength: number): string | undefined {
  const bytes = ipBytes(ip);
  // RFC 3021: a network of 31 bits has two hosts and no broadcast address.
  if (bytes?.length !== 4 || prefixLength > 30) return undefined;
  return format(
    bytes.map((byte, i) => byte | (0xff >> Math.min(Math.max(prefixLength - 8 * i, 0), 8))),
    undefined,
  );
}

interface Block {
  readonly prefix: Uint8Array;
  readonly bits: number;
}

function block(cidr: string): Block {
  const slash = cidr.indexOf('/');
  return { prefix: parse(cidr.slice(0, slash))!.bytes, bits: Number(cidr.slice(slash + 1)) };
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'].map(block);
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'].map(block);
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'].map(block);
/** Between a provider's NAT and its customers (RFC 6598); overlay networks use it as well. */
const SHARED = ['100.64.0.0/10'].map(block);
/** Blocks that belong to no class above and are not globally reachable (IANA special-purpose registries, RFC 6890). */
const NOT_GLOBAL = [
  '0.0.0.0/8', // this network
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '198.18.0.0/15', // benchmarking
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and the broadcast address
  '2001::/23', // protocol assignments: Teredo, benchmarking, ORCHID
  '2001:db8::/32', // documentation
  '3fff::/20', // documentation, RFC 9637
].map(block);
/** All of IPv6 that is allocated for global unicast, and the NAT64 prefix. */
const GLOBAL_IPV6 = ['2000::/3', '64:ff9b::/96'].map(block);

function bytesOf(ip: string): Uint8Array | undefined {
  const bytes = parse(ip)?.bytes;
  return bytes !== undefined && isMapped(bytes) ? bytes.subarray(12) : bytes;
}

function inBlocks(bytes: Uint8Array, blocks: readonly Block[]): boolean {
  return blocks.some(({ prefix, bits }) => prefix.length === bytes.length && hasPrefix(bytes, prefix, bits));
}

function isIn(ip: string, blocks: readonly Block[]): boolean {
  const bytes = bytesOf(ip);
  return bytes !== undefined && inBlocks(bytes, blocks);
}

/** Whether the IP is `0.0.0.0` or `::`. False for a text that is not an IP, as for all predicates here. */
export function isUnspecifiedIp(ip: string): boolean {
  return bytesOf(ip)?.every((byte) => byte === 0) ?? false;
}

/**
 * Why an IP is not a single host; `undefined` when it may be one. Not single hosts: unspecified, multicast, broadcast
 * and reserved addresses (RFC 1112 §4, RFC 919, RFC 1122 §3.2.1.3, RFC 4291 §2.7). Broadcast addresses of single
 * networks cannot be recognised.
 *
 * @param ip - canonical. Cheap, because it is called for every message.
 */
export function whyNoHost(ip: string): string | undefined {
  const first = ip.charCodeAt(0);
  if (first === COLON) return ip === '::' ? UNSPECIFIED : undefined;
  if (first === LETTER_F) return MULTICAST_IPV6.test(ip) ? NO_SINGLE_HOST : undefined;
  if (first === DIGIT_0) return ip === '0.0.0.0' ? UNSPECIFIED : ip.charCodeAt(1) === DOT ? NO_SINGLE_HOST : undefined;
  if (first !== DIGIT_2 || ip.charCodeAt(3) !== DOT) return undefined;
  return Number(ip.slice(0, 3)) >= MULTICAST_IPV4 ? NO_SINGLE_HOST : undefined;
}

const [COLON, LETTER_F, DIGIT_0, DIGIT_2, DOT] = [0x3a, 0x66, 0x30, 0x32, 0x2e];
/** ff00::/8: canonical text writes all four digits. */
const MULTICAST_IPV6 = /^ff[0-9a-f]{2}:/;
/** 224.0.0.0/4 is multicast; addresses above are reserved, or the broadcast address. */
const MULTICAST_IPV4 = 224;
const UNSPECIFIED = 'the unspecified address is for binding only';
const NO_SINGLE_HOST = 'it is not the address of a single host';

/** Whether the IP stays on this machine: 127.0.0.0/8, `::1`. */
export function isLoopbackIp(ip: string): boolean {
  return isIn(ip, LOOPBACK);
}

/** Whether the IP is valid on one link only: 169.254.0.0/16, fe80::/10. */
export function isLinkLocalIp(ip: string): boolean {
  return isIn(ip, LINK_LOCAL);
}

/** Whether the IP belongs to a private network: RFC 1918, and fc00::/7 (RFC 4193). */
export function isPrivateIp(ip: string): boolean {
  return isIn(ip, PRIVATE);
}

/** Whether the IP is of the space that providers share behind their NATs: 100.64.0.0/10 (RFC 6598). */
export function isSharedIp(ip: string): boolean {
  return isIn(ip, SHARED);
}

/** Whether the IP is a globally routable unicast address. */
export function isGlobalIp(ip: string): boolean {
  const bytes = bytesOf(ip);
  if (
    bytes === undefined ||
    [LOOPBACK, LINK_LOCAL, PRIVATE, SHARED, NOT_GLOBAL].some((blocks) => inBlocks(bytes, blocks))
  )
    return false;
  return bytes.length === 4 || inBlocks(bytes, GLOBAL_IPV6);
}
