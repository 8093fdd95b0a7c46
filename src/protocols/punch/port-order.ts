/** Ports in random order, none twice: those of a likely range first. */

import type { SeedStream } from './seed-stream.ts';

const FIRST_PORT = 1024;
const LAST_PORT = 65_535;

/** A shuffle that is made as far as it is used. */
class LazyShuffle {
  readonly #stream: SeedStream;
  readonly #count: number;
  /** Where a number was put in place of one that was taken. Bounded by the numbers that were taken. */
  readonly #moved = new Map<number, number>();
  #taken = 0;

  constructor(count: number, stream: SeedStream) {
    this.#count = count;
    this.#stream = stream;
  }

  next(): number | undefined {
    if (this.#taken >= this.#count) return undefined;
    const from = this.#taken++;
    const index = from + this.#stream.below(this.#count - from);
    const value = this.#moved.get(index) ?? index;
    this.#moved.set(index, this.#moved.get(from) ?? from);
    return value;
  }
}

export class PortOrder {
  readonly #likely: readonly [first: number, last: number] | undefined;
  readonly #first: LazyShuffle | undefined;
  readonly #rest: LazyShuffle;

  constructor(likely: readonly [first: number, last: number] | undefined, stream: SeedStream) {
    this.#likely = likely;
    const size = likely === undefined ? 0 : likely[1] - likely[0] + 1;
    this.#first = likely === undefined ? undefined : new LazyShuffle(size, stream);
    this.#rest = new LazyShuffle(LAST_PORT - FIRST_PORT + 1 - size, stream);
  }

  /** `undefined` when all were used. */
  next(): number | undefined {
    const first = this.#first?.next();
    if (first !== undefined) return this.#likely![0] + first;
    const other = this.#rest.next();
    if (other === undefined) return undefined;
    const port = FIRST_PORT + other;
    const [low, high] = this.#likely ?? [Infinity, Infinity];
    return port < low ? port : port + (this.#likely === undefined ? 0 : high - low + 1);
  }
}
