/**
 * How many nodes there are, from how close the closest ones are; and whether there are suspiciously many at one place, as
 * when somebody makes nodes next to a key to censor it.
 */

import { fractionBetween, type KeyText } from './position.ts';

/** Estimates that are kept. */
const MAX_SAMPLES = 16;
/**
 * The closest k nodes are this many times closer than they should be: with 16 nodes that happens once in 200 000 times by
 * chance (a sum of 16 exponential distances below a quarter of its mean).
 */
const CROWDED = 4;
/** The same for half of them, once in 16 000 times. */
const HALF_CROWDED = 6;

/** Estimates of the number of nodes. */
export class NetworkSize {
  readonly #k: number;
  /** The latest estimates. Bounded by {@link MAX_SAMPLES}. */
  readonly #samples: number[] = [];

  constructor(k: number) {
    this.#k = k;
  }

  /**
   * Takes the result of a lookup at whose target there is nothing suspicious.
   *
   * @param nearest - the positions of the closest nodes, from the closest on
   */
  observe(target: KeyText, nearest: readonly KeyText[]): void {
    const count = Math.min(nearest.length, this.#k);
    if (count === 0) return;
    const isWhole = nearest.length < this.#k;
    const farthest = fractionBetween(target, nearest[count - 1]!);
    // Fewer than k: these are all nodes.
    const estimate = isWhole || farthest === 0 ? count : Math.max((count - 1) / farthest, count);
    this.#samples.push(estimate);
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
  }

  /** The median of the latest estimates; `undefined` before the first one. */
  get nodes(): number | undefined {
    if (this.#samples.length === 0) return undefined;
    return this.#samples.toSorted((a, b) => a - b)[this.#samples.length >> 1];
  }

  /** The part of the key space around a position in which k nodes are expected; `undefined` while that is not known. */
  get regionFraction(): number | undefined {
    const { nodes } = this;
    return nodes === undefined || nodes < 4 * this.#k ? undefined : this.#k / nodes;
  }

  /** How many times closer the k closest nodes are than expected; 1 is what to expect. `undefined` when it is not known. */
  density(target: KeyText, nearest: readonly KeyText[]): number | undefined {
    return this.#densityOf(target, nearest, this.#k);
  }

  /** Whether there are suspiciously many nodes next to a position. */
  isCrowded(target: KeyText, nearest: readonly KeyText[]): boolean {
    const half = this.#k >> 1;
    return (
      (this.#densityOf(target, nearest, this.#k) ?? 0) > CROWDED ||
      (half >= 4 && (this.#densityOf(target, nearest, half) ?? 0) > HALF_CROWDED)
    );
  }

  /** Whether a position is in the region around the target. */
  isInRegion(target: KeyText, position: KeyText): boolean {
    return fractionBetween(target, position) <= (this.regionFraction ?? 1);
  }

  #densityOf(target: KeyText, nearest: readonly KeyText[], count: number): number | undefined {
    const { regionFraction } = this;
    if (regionFraction === undefined || nearest.length < count) return undefined;
    const farthest = fractionBetween(target, nearest[count - 1]!);
    return farthest === 0 ? Infinity : ((count / this.#k) * regionFraction) / farthest;
  }
}
