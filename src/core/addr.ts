/**
 * Addresses are immutable values with one canonical text, created by the swarm that they belong to.
 *
 * Nested addresses (`<PeerID>@127.0.0.1:5000`, `quic://<PeerID>@…`) hold the address below as `inner`, and their text
 * ends with the text of `inner`. The functions here walk that chain, so an application can get the IP of any address
 * without knowing the stack.
 */

import { assertFunction, describeValue } from '../base/checks.ts';
import {
  formatSocketAddress,
  ipVersion,
  isGlobalIp,
  isLinkLocalIp,
  isLoopbackIp,
  isPrivateIp,
  isUnspecifiedIp,
} from '../base/ip.ts';
import { isPeerId, type PeerId } from './peer-id.ts';

/** The source or destination of a swarm's messages. */
export interface Addr {
  /** Canonical: two addresses of one swarm are equal exactly when their texts are. Suitable as a map key. */
  readonly text: string;
  /** The same as `text`. */
  toString(): string;
}

/** An address that wraps another one. */
export interface NestedAddr<I extends Addr = Addr> extends Addr {
  readonly inner: I;
}

/** The address of an IP socket: UDP and TCP. */
export interface IpAddr extends Addr {
  /** Canonical IP text without brackets; IPv6 as in RFC 5952, link-local ones with their zone. */
  readonly ip: string;
  /** 0 to 65535; 0 only in addresses that nobody sends to. */
  readonly port: number;
}

/** The address type of a swarm. */
export type AddrOf<S> = S extends { parseAddr(text: string): infer A extends Addr } ? A : never;

const addrPrototype: object = {
  toString(this: Addr): string {
    return this.text;
  },
  toJSON(this: Addr): string {
    return this.text;
  },
};

/** The own fields of an address. */
export type AddrFields<A extends Addr> = Omit<A, 'toString'>;

/**
 * Creates a frozen address with the given fields; `toString()` and JSON give its text. For swarm implementations.
 *
 * @param fields - at least `text`; further own fields are the tag and parts of the address.
 */
export function makeAddr<A extends Addr>(fields: AddrFields<A>): A {
  const addr: A = Object.assign(Object.create(addrPrototype), fields);
  return Object.freeze(addr);
}

/** @throws {TypeError} when `value` does not have the shape of an address. */
export function assertAddr(value: unknown, label: string): asserts value is Addr {
  if (!isAddr(value)) {
    throw new TypeError(
      `Cannot take ${label}: expected an address of this swarm (see parseAddr), got ${describeValue(value)}`,
    );
  }
}

/** The address inside a nested one, one layer down; `undefined` for other addresses. */
export function unwrapAddr(addr: Addr): Addr | undefined {
  return 'inner' in addr && isAddr(addr.inner) ? addr.inner : undefined;
}

function isAddr(value: unknown): value is Addr {
  return typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string';
}

/**
 * Rebuilds a nested address around another innermost address.
 *
 * @param map - gets the innermost address and returns its replacement; returning the same object changes nothing.
 */
export function mapAddr<A extends Addr>(addr: A, map: (innermost: Addr) => Addr): A {
  assertFunction(map, 'map');
  return mapInnermost(addr, map) as A;
}

function mapInnermost(addr: Addr, map: (innermost: Addr) => Addr): Addr {
  const inner = unwrapAddr(addr);
  if (inner === undefined) return map(addr);
  const mapped = mapInnermost(inner, map);
  if (mapped === inner) return addr;
  const prefix = addr.text.slice(0, addr.text.length - inner.text.length);
  return makeAddr<NestedAddr>({ ...addr, inner: mapped, text: prefix + mapped.text });
}

/** The first address of the chain, outermost first, that `test` accepts. */
function findInChain<T extends Addr>(addr: Addr, test: (addr: Addr) => addr is T): T | undefined {
  for (let at: Addr | undefined = addr; at !== undefined; at = unwrapAddr(at)) if (test(at)) return at;
  return undefined;
}

function isIpAddr(addr: Addr): addr is IpAddr {
  return 'ip' in addr && typeof addr.ip === 'string' && 'port' in addr && typeof addr.port === 'number';
}

/** The IP of an address, however deeply nested, in canonical text; `undefined` when it has none. */
export function ipOf(addr: Addr): string | undefined {
  return findInChain(addr, isIpAddr)?.ip;
}

/** The port of an address, however deeply nested; `undefined` when it has none. */
export function portOf(addr: Addr): number | undefined {
  return findInChain(addr, isIpAddr)?.port;
}

/** The outermost PeerID in an address; `undefined` when it has none. */
export function peerIdOf(addr: Addr): PeerId | undefined {
  return findInChain(addr, (at): at is Addr & { readonly id: PeerId } => 'id' in at && isPeerId(at.id))?.id;
}

/** The same address at another IP, however deeply nested; unchanged when it has none. `ip` must be canonical. */
export function withIp<A extends Addr>(addr: A, ip: string): A {
  return mapAddr(addr, (leaf) =>
    isIpAddr(leaf) ? makeAddr<IpAddr>({ ...leaf, ip, text: formatSocketAddress(ip, leaf.port) }) : leaf,
  );
}

/**
 * Replaces each address whose IP is `0.0.0.0` or `::` by one address per interface address.
 *
 * @param interfaces - the IPs of this machine, canonical. `0.0.0.0` is replaced by the IPv4 ones, `::` by both
 * families, as a dual-stack socket accepts both.
 */
export function expandUnspecified<A extends Addr>(addrs: readonly A[], interfaces: readonly string[]): A[] {
  const expanded = new Map<string, A>();
  for (const addr of addrs) {
    const ip = ipOf(addr);
    const concrete =
      ip === undefined || !isUnspecifiedIp(ip)
        ? [addr]
        : interfaces.filter((local) => ip === '::' || ipVersion(local) === 4).map((local) => withIp(addr, local));
    for (const each of concrete) expanded.set(each.text, each);
  }
  return [...expanded.values()];
}

/** The addresses that every predicate accepts: `filterAddrs(addrs, isGlobal)`. */
export function filterAddrs<A extends Addr>(addrs: readonly A[], ...tests: readonly ((addr: A) => boolean)[]): A[] {
  return addrs.filter((addr) => tests.every((test) => test(addr)));
}

/** Whether the address has the IP `0.0.0.0` or `::`. False for an address without an IP, as for all predicates here. */
export function isUnspecified(addr: Addr | string): boolean {
  return isUnspecifiedIp(ipTextOf(addr));
}

/** Whether the address (or IP text) stays on this machine: 127.0.0.0/8, `::1`. */
export function isLoopback(addr: Addr | string): boolean {
  return isLoopbackIp(ipTextOf(addr));
}

/** Whether the address (or IP text) is valid on one link only: 169.254.0.0/16, fe80::/10. */
export function isLinkLocal(addr: Addr | string): boolean {
  return isLinkLocalIp(ipTextOf(addr));
}

/** Whether the address (or IP text) belongs to a private network: RFC 1918, and fc00::/7 (RFC 4193). */
export function isPrivate(addr: Addr | string): boolean {
  return isPrivateIp(ipTextOf(addr));
}

/** Whether the address (or IP text) is a globally routable unicast address. */
export function isGlobal(addr: Addr | string): boolean {
  return isGlobalIp(ipTextOf(addr));
}

function ipTextOf(addr: Addr | string): string {
  return typeof addr === 'string' ? addr : (ipOf(addr) ?? '');
}
