/**
 * Random numbers that are reproducible from a seed: for simulations, never for real keys.
 *
 * The generator is sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, period at least 2^32, passes PractRand.
 */

import { type Bytes, encodeText } from './bytes.ts';
import { describeValue } from './checks.ts';

/** A stream of random numbers. */
export interface SeededRandom {
  /** A number from 0 (inclusive) to 1 (exclusive), with 32 random bits. */
  next(): number;
  /** `length` random bytes. */
  bytes(length: number): Bytes;
}

/** Different numbers and texts give different streams. */
export type Seed = number | string;

/** @throws {TypeError} when `seed` is neither a number nor a string. */
export function createSeededRandom(seed: Seed): SeededRandom {
  if (typeof seed !== 'string' && (typeof seed !== 'number' || Number.isNaN(seed))) {
    throw new TypeError(`Cannot take seed: expected a number or a string, got ${describeValue(seed)}`);
  }
  return new Sfc32(`${typeof seed}:${seed}`);
}

class Sfc32 implements SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    // FNV-1a over the text with three offsets, then the usual rounds that mix the seed into the state.
    this.#a = hash(seed, 0x811c9dc5);
    this.#b = hash(seed, 0x9e3779b9);
    this.#c = hash(seed, 0x85ebca6b);
    for (let i = 0; i < 15; i++) this.#word();
  }

  next(): number {
    return this.#word() / 0x1_0000_0000;
  }

  bytes(length: number): Bytes {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 4) {
      const word = this.#word();
      for (let j = 0; j < 4 && i + j < length; j++) bytes[i + j] = word >>> (8 * j);
    }
    return bytes;
  }

  #word(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return out >>> 0;
  }
}

function hash(text: string, offset: number): number {
  let value = offset;
  for (const byte of encodeText(text)) value = Math.imul(value ^ byte, 0x0100_0193);
  return value;
}
