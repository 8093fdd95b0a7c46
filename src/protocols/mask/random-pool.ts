/** Random bytes in small portions: one call of the realm for many. */

import { type Bytes, viewFrom } from '../../base/bytes.ts';

/** Large enough that calls cost little, small enough that unused bytes are few. */
const BLOCK_BYTES = 1024;

export class RandomPool {
  readonly #random: (length: number) => Bytes;
  #block: Bytes;
  #at = 0;

  constructor(random: (length: number) => Bytes) {
    this.#random = random;
    this.#block = random(BLOCK_BYTES);
  }

  /** `length` random bytes, which nobody else gets. At most {@link BLOCK_BYTES}. */
  take(length: number): Bytes {
    if (this.#at + length > BLOCK_BYTES) {
      this.#block = this.#random(BLOCK_BYTES);
      this.#at = 0;
    }
    const bytes = viewFrom(this.#block, this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  /** A whole number from 0 to `max`, which is at most 65 535. */
  upTo(max: number): number {
    const [high, low] = this.take(2);
    return Math.floor(((high! * 256 + low!) * (max + 1)) / 65_536);
  }
}
