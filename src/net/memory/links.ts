/** The links of a memory realm: the properties of each pair of addresses, and which links are cut. */

import type { SeededRandom } from '../../base/seeded-random.ts';
import { Netem, type NetemConfig, type NetemPreset, resolveNetem } from '../../protocols/netem/netem.ts';
import { type MemoryAddr, assertMemoryAddr } from './address.ts';

/** The properties of links: a preset's name, or numbers. */
export type LinkConfig = NetemConfig | NetemPreset;

/** The current state of the path from one address to another. */
export type Way =
  /** No emulation: arrives immediately. */
  { readonly type: 'straight' } | { readonly type: 'cut' } | { readonly type: 'netem'; readonly netem: Netem };

const STRAIGHT: Way = { type: 'straight' };
const CUT: Way = { type: 'cut' };

/** Two addresses as one key: a number as long as both are below this, which compares and hashes without a text. */
const NUMBERS_BELOW = 2 ** 26;

/** One direction of a link. */
function wayKey(from: MemoryAddr, to: MemoryAddr): number | string {
  return from.n < NUMBERS_BELOW && to.n < NUMBERS_BELOW ? from.n * NUMBERS_BELOW + to.n : `${from.n}>${to.n}`;
}

/** An unordered pair of addresses. */
function pairKey(a: MemoryAddr, b: MemoryAddr): number | string {
  return a.n < b.n ? wayKey(a, b) : wayKey(b, a);
}

/** Whether what happens to a packet does not depend on earlier ones: then all links can share an emulator. */
function isStateless(config: LinkConfig): boolean {
  const { jitterMs, reorder, bytesPerSecond } = resolveNetem(config);
  return jitterMs === 0 && reorder === 0 && bytesPerSecond === Infinity;
}

/**
 * The key of a link; `undefined` without addresses: all links. @throws {TypeError} for one address only, or an invalid
 * one.
 */
function pairOf(a: unknown, b: unknown): number | string | undefined {
  if (a === undefined && b === undefined) return undefined;
  assertMemoryAddr(a);
  assertMemoryAddr(b);
  return pairKey(a, b);
}

/**
 * Bounded by the pairs of addresses that were configured, and those that have communicated over emulated links whose
 * packets depend on each other.
 */
export class Links {
  #default: LinkConfig | undefined;
  /** What links of the default do that share an emulator. */
  #shared: Way | undefined;
  readonly #configs = new Map<number | string, LinkConfig>();
  readonly #cut = new Set<number | string>();
  #allCut = false;
  /** The part of each address, while the network is parted. Bounded by the addresses that are named. */
  #parts: ReadonlyMap<number, number> | undefined;
  /** Emulators in use, one per direction; created when a pair first communicates. */
  readonly #netems = new Map<number | string, { readonly pair: number | string; readonly way: Way }>();
  readonly #random: SeededRandom;

  constructor(config: LinkConfig | undefined, random: SeededRandom) {
    this.#random = random;
    this.setDefault(config);
  }

  /** Whether no link is cut or emulated: then no look-up is needed. */
  plain = true;

  setDefault(config: LinkConfig | undefined): void {
    if (config !== undefined) resolveNetem(config);
    this.#default = config === 'perfect' ? undefined : config;
    this.#shared =
      this.#default !== undefined && isStateless(this.#default) ? this.#emulated(this.#default) : undefined;
    for (const [key, { pair }] of this.#netems) if (!this.#configs.has(pair)) this.#netems.delete(key);
    this.#changed();
  }

  set(a: MemoryAddr, b: MemoryAddr, config: LinkConfig | undefined): void {
    assertMemoryAddr(a);
    assertMemoryAddr(b);
    if (config === undefined) this.#configs.delete(pairKey(a, b));
    else {
      resolveNetem(config);
      this.#configs.set(pairKey(a, b), config);
    }
    this.#netems.delete(wayKey(a, b));
    this.#netems.delete(wayKey(b, a));
    this.#changed();
  }

  cut(a?: MemoryAddr, b?: MemoryAddr): void {
    const pair = pairOf(a, b);
    if (pair !== undefined) this.#cut.add(pair);
    else this.#allCut = true;
    this.#changed();
  }

  /** Cuts all links between addresses of different parts; addresses of no part keep theirs. */
  partition(parts: readonly (readonly MemoryAddr[])[]): void {
    const partOf = new Map<number, number>();
    for (const [part, addrs] of parts.entries()) {
      for (const addr of addrs) {
        assertMemoryAddr(addr);
        partOf.set(addr.n, part);
      }
    }
    this.#parts = partOf;
    this.#changed();
  }

  heal(a?: MemoryAddr, b?: MemoryAddr): void {
    const pair = pairOf(a, b);
    if (pair !== undefined) this.#cut.delete(pair);
    else {
      this.#allCut = false;
      this.#cut.clear();
      this.#parts = undefined;
    }
    this.#changed();
  }

  way(from: MemoryAddr, to: MemoryAddr): Way {
    if (this.plain || from.n === to.n) return STRAIGHT;
    if (this.#allCut || this.#isParted(from, to)) return CUT;
    if (this.#cut.size === 0 && this.#configs.size === 0 && this.#shared !== undefined) return this.#shared;
    const pair = pairKey(from, to);
    if (this.#cut.has(pair)) return CUT;
    const own = this.#configs.get(pair);
    if (own === undefined && this.#shared !== undefined) return this.#shared;
    const config = own ?? this.#default;
    if (config === undefined || config === 'perfect') return STRAIGHT;
    const key = wayKey(from, to);
    const known = this.#netems.get(key);
    if (known !== undefined) return known.way;
    const way = this.#emulated(config);
    this.#netems.set(key, { pair, way });
    return way;
  }

  #isParted(from: MemoryAddr, to: MemoryAddr): boolean {
    if (this.#parts === undefined) return false;
    const [a, b] = [this.#parts.get(from.n), this.#parts.get(to.n)];
    return a !== undefined && b !== undefined && a !== b;
  }

  #emulated(config: LinkConfig): Way {
    return { type: 'netem', netem: new Netem(config, () => this.#random.next()) };
  }

  #changed(): void {
    const isCut = this.#cut.size > 0 || this.#allCut || this.#parts !== undefined;
    this.plain = this.#default === undefined && this.#configs.size === 0 && !isCut;
  }
}
