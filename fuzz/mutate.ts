/** Hostile inputs: noise, and valid inputs with a few things wrong. The same seed gives the same inputs. */

import { type Seed, type SeededRandom, createSeededRandom } from '../src/base/seeded-random.ts';

/** Numbers at which lengths and counts go wrong. */
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] as const;
const MAX_NOISE_BYTES = 300;
const MAX_MUTATIONS = 4;

/** Makes one input after the other, never the same array twice. */
export class Mutator {
  readonly #random: SeededRandom;
  readonly #seeds: readonly Uint8Array[];

  /** @param seeds - valid inputs; without any, all is noise. */
  constructor(seed: Seed, seeds: readonly Uint8Array[]) {
    this.#random = createSeededRandom(seed);
    this.#seeds = seeds;
  }

  next(): Uint8Array<ArrayBuffer> {
    const seed = this.#seeds[this.#below(this.#seeds.length)];
    if (seed === undefined || this.#below(8) === 0) return this.#random.bytes(this.#below(MAX_NOISE_BYTES));
    let input = seed.slice();
    for (let left = 1 + this.#below(MAX_MUTATIONS); left > 0; left--) input = this.#mutate(input);
    return input;
  }

  #below(limit: number): number {
    return Math.floor(this.#random.next() * limit);
  }

  #mutate(input: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const at = this.#below(input.length + 1);
    switch (this.#below(7)) {
      case 0: // a bit flips
        if (at < input.length) input[at]! ^= 1 << this.#below(8);
        return input;
      case 1: // an edge
        if (at < input.length) input[at] = EDGES[this.#below(EDGES.length)]!;
        return input;
      case 2: // cut off
        return input.slice(0, at);
      case 3: // something more at the end
        return joined(input, this.#random.bytes(this.#below(16)));
      case 4: // something more inside
        return joined(input.subarray(0, at), this.#random.bytes(1 + this.#below(4)), input.subarray(at));
      case 5: // something less inside
        return joined(input.subarray(0, at), input.subarray(at + 1 + this.#below(4)));
      default: {
        // the end of another one
        const other = this.#seeds[this.#below(this.#seeds.length)]!;
        return joined(input.subarray(0, at), other.subarray(this.#below(other.length + 1)));
      }
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
