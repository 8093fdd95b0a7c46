/**
 * Shares of a bounded table, so that one source cannot take all places.
 *
 * A source is the network of one customer of a provider: a /24 of IPv4 or a /64 of IPv6. Within a network each host is
 * counted too. When the table is full, the oldest item of the host with the most items in the network with the most
 * items is evicted.
 */

import { ipBytes, ipNetwork } from './ip.ts';

/**
 * The network that an IP is counted with: `192.0.2.0/24` or `2001:db8::/64`. A text that is not an IP is its own
 * source, so that addresses without IPs can be counted too.
 *
 * @param ip - canonical, as `canonicalIp` and `ipOf` return it.
 */
export function sourceOf(ip: string): string {
  if (ip.includes(':')) return ipNetwork(ip);
  return ipBytes(ip) === undefined ? ip : `${ip.slice(0, ip.lastIndexOf('.'))}.0/24`;
}

/** Groups by name, and the largest of them. All operations take constant time. */
class Ranking<G extends { readonly size: number }> {
  /** Bounded by the items in all groups: empty groups are removed. */
  readonly groups = new Map<string, G>();
  /** Names by the size of their group; in each set the one that reached this size first comes first. */
  readonly #bySize = new Map<number, Set<string>>();
  #largest = 0;

  sizeOf(name: string): number {
    return this.groups.get(name)?.size ?? 0;
  }

  /** The largest group's name; of equally large ones, the one that reached its size first. */
  get largest(): string | undefined {
    return this.#bySize.get(this.#largest)?.values().next().value;
  }

  /** Reports that the group `name` now has `size` items, one more or one less than `before`. */
  moved(name: string, before: number, size: number): void {
    const old = this.#bySize.get(before);
    old?.delete(name);
    if (old?.size === 0) this.#bySize.delete(before);
    if (size === 0) this.groups.delete(name);
    else {
      const now = this.#bySize.get(size);
      if (now === undefined) this.#bySize.set(size, new Set([name]));
      else now.add(name);
    }
    if (size > this.#largest) this.#largest = size;
    // The group that shrank was the only one of the largest size, so it is still the largest.
    else if (!this.#bySize.has(this.#largest)) this.#largest = size;
  }
}

/** The items of one network: a ranking of its hosts, each with its items in order of insertion. */
class Network<T> {
  readonly hosts = new Ranking<Set<T>>();
  size = 0;
}

/**
 * The items of a bounded table, counted per network and host. It enforces no limit: the owner of the table calls `add`
 * and `delete` together with its own, and calls {@link SourceShares.victimFor} when the table is full.
 */
export class SourceShares<T> {
  readonly #networks = new Ranking<Network<T>>();
  /** Bounded by the owner's table. */
  readonly #hosts = new Map<T, string>();

  /** The number of all items. */
  get size(): number {
    return this.#hosts.size;
  }

  has(item: T): boolean {
    return this.#hosts.has(item);
  }

  /** The number of items of the network of `host`. */
  countOf(host: string): number {
    return this.#networks.sizeOf(sourceOf(host));
  }

  /** Adds an item as the newest of its host. @param host - an IP, or any text that identifies the item's origin */
  add(host: string, item: T): void {
    this.delete(item);
    const name = sourceOf(host);
    const { groups } = this.#networks;
    const network = groups.get(name) ?? new Network<T>();
    groups.set(name, network);
    const items = network.hosts.groups.get(host) ?? new Set<T>();
    network.hosts.groups.set(host, items);
    this.#hosts.set(item, host);
    items.add(item);
    network.hosts.moved(host, items.size - 1, items.size);
    network.size++;
    this.#networks.moved(name, network.size - 1, network.size);
  }

  /** @returns whether the item was present */
  delete(item: T): boolean {
    const host = this.#hosts.get(item);
    if (host === undefined) return false;
    const name = sourceOf(host);
    const network = this.#networks.groups.get(name)!;
    const items = network.hosts.groups.get(host)!;
    this.#hosts.delete(item);
    items.delete(item);
    network.hosts.moved(host, items.size + 1, items.size);
    network.size--;
    this.#networks.moved(name, network.size + 1, network.size);
    return true;
  }

  /**
   * The oldest item of the host with the most items in the network with the most items; `undefined` when there is no
   * item.
   */
  get oldestOfBusiest(): T | undefined {
    const name = this.#networks.largest;
    return name === undefined ? undefined : this.#oldestIn(this.#networks.groups.get(name)!);
  }

  /**
   * The item to evict for a newcomer from `host`: the oldest of a network that holds more than the newcomer's; if the
   * newcomer's network holds the most, the oldest of another host in it that holds more, else the oldest of the
   * newcomer's own host.
   *
   * @param fair - the number of items that any network may hold. Above 1 when newcomers have not proven their address:
   * otherwise forged addresses could evict other peers of the same network.
   * @returns `undefined` when no network holds more than `fair`: the owner then decides by other means, or refuses.
   */
  victimFor(host: string, fair = 1): T | undefined {
    const { groups, largest } = this.#networks;
    const most = largest === undefined ? undefined : groups.get(largest)!;
    if (most === undefined || most.size <= fair) return undefined;
    const own = groups.get(sourceOf(host));
    if (own === undefined || own.size < most.size) return this.#oldestIn(most);
    const { hosts } = own;
    const busiest = hosts.largest!;
    const from = hosts.sizeOf(busiest) > hosts.sizeOf(host) ? busiest : host;
    return hosts.groups.get(from)!.values().next().value;
  }

  clear(): void {
    for (const item of this.#hosts.keys()) this.delete(item);
  }

  #oldestIn({ hosts }: Network<T>): T {
    return hosts.groups.get(hosts.largest!)!.values().next().value!;
  }
}
