/** How fast one peer may send: a bucket of messages and one of bytes, filled by time. No clock of its own. */

import { quantity } from '../base/checks.ts';

/** Rates of one connection's incoming messages. */
export interface RateLimit {
  /** @default Infinity */
  readonly messagesPerSecond?: number | undefined;
  /** Bytes of frames. @default Infinity */
  readonly bytesPerSecond?: number | undefined;
  /** How much may come at once, as seconds of the rate. @default 1 */
  readonly burstSeconds?: number | undefined;
  /**
   * What happens to a peer that is faster: `'delay'` stops reading until it may go on, `'drop'` drops messages,
   * `'disconnect'` ends the connection (`rate_exceeded`).
   * @default 'delay'
   */
  readonly exceeded?: 'delay' | 'drop' | 'disconnect' | undefined;
}

/** The state of one connection's rate. */
export class RateMeter {
  readonly exceeded: 'delay' | 'drop' | 'disconnect';
  readonly #messages: Bucket;
  readonly #bytes: Bucket;

  /** @throws {TypeError | RangeError} for rates that are no positive numbers. */
  constructor(limit: RateLimit) {
    const burst = quantity(limit.burstSeconds, 'burstSeconds', 1, Number.MIN_VALUE, Infinity);
    const rate = (name: 'messagesPerSecond' | 'bytesPerSecond'): number =>
      quantity(limit[name], name, Infinity, Number.MIN_VALUE, Infinity);
    this.exceeded = limit.exceeded ?? 'delay';
    this.#messages = new Bucket(rate('messagesPerSecond'), burst);
    this.#bytes = new Bucket(rate('bytesPerSecond'), burst);
  }

  /** Counts one message that came. A large one is let through when the bucket is not empty, and paid for afterwards. */
  take(bytes: number, nowMs: number): boolean {
    if (this.waitMs(nowMs) > 0) return false;
    this.#messages.take(1);
    this.#bytes.take(bytes);
    return true;
  }

  /** How long until a message may come; 0: now. */
  waitMs(nowMs: number): number {
    return Math.max(this.#messages.waitMs(nowMs), this.#bytes.waitMs(nowMs));
  }
}

/** One, less what sums of fractions are off. */
const WHOLE = 1 - 1e-9;

class Bucket {
  readonly #perMs: number;
  readonly #capacity: number;
  #level: number;
  #atMs = -Infinity;

  constructor(perSecond: number, burstSeconds: number) {
    this.#perMs = perSecond / 1000;
    this.#capacity = Math.max(perSecond * burstSeconds, 1);
    this.#level = this.#capacity;
  }

  take(amount: number): void {
    if (this.#perMs !== Infinity) this.#level -= amount;
  }

  /** The bucket must hold something: a whole unit, or it would let fractions through. */
  waitMs(nowMs: number): number {
    if (this.#perMs === Infinity) return 0;
    if (nowMs > this.#atMs) {
      if (this.#atMs !== -Infinity) {
        this.#level = Math.min(this.#capacity, this.#level + (nowMs - this.#atMs) * this.#perMs);
      }
      this.#atMs = nowMs;
    }
    return this.#level >= WHOLE ? 0 : (1 - this.#level) / this.#perMs;
  }
}
