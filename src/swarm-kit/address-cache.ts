/** Caches the source addresses of messages: building an address per message costs ten times as much as a look-up. */

import type { Addr } from '../core/addr.ts';

/** The number of addresses a cache holds. A spoofing peer can empty it, which only costs time. */
const ADDRESS_CACHE_SIZE = 8192;

/** Addresses by host and port. Bounded by `maxAddrs`: a full cache is cleared. */
export class AddressCache<A extends Addr> {
  readonly #maxAddrs: number;
  readonly #make: (host: string, port: number) => A;
  readonly #hosts = new Map<string, Map<number, A>>();
  #size = 0;
  /** The last result: successive messages often share a source, and comparing a host is cheaper than hashing it. */
  #lastHost = '';
  #lastPort = -1;
  #last: A | undefined;

  /** @param make - builds the address of a host and port that are not in the cache. */
  constructor(make: (host: string, port: number) => A, maxAddrs: number = ADDRESS_CACHE_SIZE) {
    this.#make = make;
    this.#maxAddrs = maxAddrs;
  }

  get(host: string, port: number): A {
    if (port === this.#lastPort && host === this.#lastHost && this.#last !== undefined) return this.#last;
    this.#last = this.#find(host, port);
    this.#lastHost = host;
    this.#lastPort = port;
    return this.#last;
  }

  #find(host: string, port: number): A {
    const known = this.#hosts.get(host)?.get(port);
    if (known !== undefined) return known;
    if (this.#size >= this.#maxAddrs) {
      this.#hosts.clear();
      this.#size = 0;
    }
    const addr = this.#make(host, port);
    const ports = this.#hosts.get(host);
    if (ports === undefined) this.#hosts.set(host, new Map([[port, addr]]));
    else ports.set(port, addr);
    this.#size++;
    return addr;
  }
}
