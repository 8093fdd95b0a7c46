/** The links of a memory realm: the properties of each pair of addresses, and which links are cut. */

import { type SeededRandom } from '../../base/seeded-random.ts';
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

/** An unordered pair of addresses. */
function pairKey(a: MemoryAddr, b: MemoryAddr): string {
  return a.n < b.n ? `${a.n}-${b.n}` : `${b.n}-${a.n}`;
}

/** One direction of a link. */
function wayKey(from: MemoryAddr, to: MemoryAddr): string {
  return `${from.n}>${to.n}`;
}

/**
 * The key of a link; `undefined` without addresses: all links. @throws {TypeError} for one address only, or an invalid
 * one.
 */
function pairOf(a: unknown, b: unknown): string | undefined {
  if (a === undefined && b === undefined) return undefined;
  assertMemoryAddr(a);
  assertMemoryAddr(b);
  return pairKey(a, b);
}

/**
 * Bounded by the pairs of addresses that were configured, and those that have communicated over an emulated network.
 */
export class Links {
  #default: LinkConfig | undefined;
  readonly #configs = new Map<string, LinkConfig>();
  readonly #cut = new Set<string>();
  #allCut = false;
  /** Emulators in use, one per direction; created when a pair first communicates. */
  readonly #netems = new Map<string, { readonly pair: string; readonly netem: Netem }>();
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

  heal(a?: MemoryAddr, b?: MemoryAddr): void {
    const pair = pairOf(a, b);
    if (pair !== undefined) this.#cut.delete(pair);
    else {
      this.#allCut = false;
      this.#cut.clear();
    }
    this.#changed();
  }

  way(from: MemoryAddr, to: MemoryAddr): Way {
    if (this.plain || from.n === to.n) return STRAIGHT;
    const pair = pairKey(from, to);
    if (this.#allCut || this.#cut.has(pair)) return CUT;
    const config = this.#configs.get(pair) ?? this.#default;
    if (config === undefined || config === 'perfect') return STRAIGHT;
    const key = wayKey(from, to);
    let netem = this.#netems.get(key)?.netem;
    if (netem === undefined) {
      netem = new Netem(config, () => this.#random.next());
      this.#netems.set(key, { pair, netem });
    }
    return { type: 'netem', netem };
  }

  #changed(): void {
    this.plain = this.#default === undefined && this.#configs.size === 0 && this.#cut.size === 0 && !this.#allCut;
  }
}
