/** Bytes and numbers from a random seed: machines draw none themselves. */

import { hash } from '#crypto';
import { type Bytes, concatBytes } from '../../base/bytes.ts';

/** SHA-256 in counter mode. */
export class SeedStream {
  readonly #seed: Bytes;
  #block: Bytes = new Uint8Array(0);
  #at = 0;
  #counter = 0;

  /** @param seed - at least 16 random bytes. */
  constructor(seed: Bytes) {
    this.#seed = seed;
  }

  /** @param length - at most 32. */
  bytes(length: number): Bytes {
    if (this.#at + length > this.#block.length) {
      const counter = new Uint8Array(4);
      new DataView(counter.buffer).setUint32(0, this.#counter++);
      this.#block = hash('sha256', concatBytes(this.#seed, counter));
      this.#at = 0;
    }
    this.#at += length;
    return this.#block.slice(this.#at - length, this.#at);
  }

  /** A number from 0 to `below` − 1; the bias is below 2^-16 for up to 65 536. */
  below(below: number): number {
    const bytes = this.bytes(4);
    return new DataView(bytes.buffer).getUint32(0) % below;
  }
}
