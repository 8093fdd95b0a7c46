/** Rate limits of one peer: a token bucket of messages and one of bytes. Has no clock of its own. */

import { quantity } from '../base/checks.ts';

/** Rate limits of the incoming messages of one connection. */
export interface RateLimit {
  /** @default Infinity */
  readonly messagesPerSecond?: number | undefined;
  /** Bytes of frames. @default Infinity */
  readonly bytesPerSecond?: number | undefined;
  /** The allowed burst, as seconds of the rate. @default 1 */
  readonly burstSeconds?: number | undefined;
  /**
   * The action when the peer exceeds the rate: `'delay'` stops reading until the rate allows more, `'drop'` drops
   * messages, `'disconnect'` ends the connection (`rate_exceeded`).
   * @default 'delay'
   */
  readonly exceeded?: 'delay' | 'drop' | 'disconnect' | undefined;
}

/** The rate state of one connection. */
export class RateMeter {
  readonly exceeded: 'delay' | 'drop' | 'disconnect';
  readonly #messages: Bucket;
  readonly #bytes: Bucket;

  /** @throws {TypeError | RangeError} for rates that are not positive numbers. */
  constructor(limit: RateLimit) {
    const burst = quantity(limit.burstSeconds, 'burstSeconds', 1, Number.MIN_VALUE, Infinity);
    const rate = (name: 'messagesPerSecond' | 'bytesPerSecond'): number =>
      quantity(limit[name], name, Infinity, Number.MIN_VALUE, Infinity);
    this.exceeded = limit.exceeded ?? 'delay';
    this.#messages = new Bucket(rate('messagesPerSecond'), burst);
    this.#bytes = new Bucket(rate('bytesPerSecond'), burst);
  }

  /** Counts one received message. A large one is accepted when the bucket is not empty, and charged afterwards. */
  take(bytes: number, nowMs: number): boolean {
    if (this.waitMs(nowMs) > 0) return false;
    this.#messages.take(1);
    this.#bytes.take(bytes);
    return true;
  }

  /** The time until the next message may be accepted; 0: now. */
  waitMs(nowMs: number): number {
    return Math.max(this.#messages.waitMs(nowMs), this.#bytes.waitMs(nowMs));
  }
}

/** One, less the rounding errors of sums. */
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

  /** The bucket must hold a whole unit, or it would accept messages for fractions. */
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
