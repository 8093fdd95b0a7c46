/** Addresses that callers give as text: parsed once, then cached. */

import { describeValue } from '../base/checks.ts';
import type { Addr } from './addr.ts';
import { P2PError } from './errors.ts';

/** The number of texts that a swarm caches. */
const MAX_TEXT_ADDRS = 1024;

/** Addresses by text. Bounded by {@link MAX_TEXT_ADDRS}: a full cache is cleared. */
export class TextAddrs<A extends Addr> {
  readonly #parse: (text: string) => A;
  readonly #known = new Map<string, A>();

  /** @param parse - the swarm's `parseAddr`. */
  constructor(parse: (text: string) => A) {
    this.#parse = parse;
  }

  /** @throws {TypeError} when `text` is not an address of the swarm. */
  parse(text: string): A {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const addr = this.#parse(text);
    if (this.#known.size >= MAX_TEXT_ADDRS) this.#known.clear();
    this.#known.set(text, addr);
    return addr;
  }

  /** `dst` itself, or the address of the text. @throws {TypeError} as {@link TextAddrs.parse}. */
  addrOf(dst: A | string): A {
    return typeof dst === 'string' ? this.parse(dst) : dst;
  }

  /**
   * The addresses of a list that the program gives.
   *
   * @param name - of the argument, for errors.
   * @throws {TypeError} when it is no list, or one of it is not an address of the swarm.
   */
  listOf(nodes: readonly (A | string)[], name: string): A[] {
    const given: unknown = nodes;
    if (!Array.isArray(given)) {
      throw new TypeError(`Cannot take ${name}: expected a list of addresses, got ${describeValue(given)}`);
    }
    return nodes.map((node: A | string | null | undefined) => {
      if (typeof node === 'string') return this.parse(node);
      if (typeof node === 'object' && typeof node?.text === 'string') return node;
      throw new TypeError(`Cannot take ${name}: expected addresses, got ${describeValue(node)}`);
    });
  }

  /** The address of `text`; `undefined` when it is not an address of the swarm. */
  tryParse(text: string): A | undefined {
    try {
      return this.parse(text);
    } catch {
      return undefined;
    }
  }

  /**
   * Calls `make` with the address of `text`. The text may come from a peer, so an invalid one rejects instead of
   * throwing.
   *
   * @param onRefused - called before the rejection, to count it.
   * @throws {P2PError} (by rejection) `unreachable` when `text` is not an address of the swarm.
   */
  call<T>(verb: string, text: string, make: (addr: A) => Promise<T>, onRefused?: () => void): Promise<T> {
    let addr: A;
    try {
      addr = this.parse(text);
    } catch (cause) {
      onRefused?.();
      const message = `Cannot ${verb} ${describeValue(text)}: it is not an address of this swarm`;
      const refused = Promise.reject<T>(new P2PError('unreachable', 'local', message, { sent: 'no', cause }));
      refused.catch(() => undefined); // Safe for fire-and-forget; awaiting it still throws.
      return refused;
    }
    return make(addr);
  }
}

/** The first of a swarm's local addresses, for its `addr`. @throws {P2PError} `closed` when the swarm has no address. */
export function bestAddr<A extends Addr>(localAddrs: readonly A[]): A {
  const [best] = localAddrs;
  if (best !== undefined) return best;
  throw new P2PError('closed', 'local', 'Cannot read addr: the swarm is closed and has none', { sent: 'no' });
}
