/** The cells that a server has seen written, by where they were first written from: the quota of a source, and who makes room when all are taken. */

import { SourceShares } from '../../base/source-shares.ts';

interface Known {
  writtenMs: number;
}

export class CellIndex {
  readonly #maxCells: number;
  readonly #ttlMs: number;
  /** In the order of writing. Bounded by `maxCells`. */
  readonly #known = new Map<string, Known>();
  readonly #shares = new SourceShares<string>();

  constructor(maxCells: number, ttlMs: number) {
    this.#maxCells = maxCells;
    this.#ttlMs = ttlMs;
  }

  get size(): number {
    return this.#known.size;
  }

  has(key: string): boolean {
    return this.#known.has(key);
  }

  /** The cells of the network of an IP. */
  countOf(ip: string): number {
    return this.#shares.countOf(ip);
  }

  /** The cell that has to go before another one of this IP can come; `undefined` when there is a place. */
  victimFor(ip: string): string | undefined {
    return this.#known.size < this.#maxCells
      ? undefined
      : (this.#shares.victimFor(ip) ?? this.#known.keys().next().value);
  }

  wrote(key: string, ip: string, nowMs: number): void {
    const known = this.#known.get(key);
    this.#known.delete(key);
    this.#known.set(key, { writtenMs: nowMs });
    if (known === undefined) this.#shares.add(ip, key);
  }

  delete(key: string): void {
    this.#known.delete(key);
    this.#shares.delete(key);
  }

  /** Forgets the cells whose time is over; the store forgets them by itself. */
  expire(nowMs: number): number {
    let count = 0;
    for (const [key, { writtenMs }] of this.#known) {
      if (nowMs - writtenMs < this.#ttlMs) break;
      this.delete(key);
      count++;
    }
    return count;
  }
}
