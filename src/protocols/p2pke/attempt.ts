/** Counters and times of the handshake that a channel has begun. */

import type { Millis } from '../../base/machine.ts';
import { TokenBucket } from '../../base/token-bucket.ts';

/** A handshake message is repeated at intervals up to this many times the first. */
const MAX_BACKOFF_FACTOR = 8;

/**
 * Replies that are processed: each costs a key agreement and perhaps a signature check. The rate bounds what an attacker that cannot see the
 * path can cost (about a third of a core), and is high enough that the genuine reply is processed too.
 */
const REPLIES_PER_SECOND = 4000;
const REPLIES_BURST = 256;

/** Cookies that are taken between two repetitions. Each is one more InitHello, so that forged cookies replace none. */
const MAX_COOKIES = 32;

/** After how long in ms a repeated InitHello gets a new timestamp. */
const RENEW_MS = 1000;

/** One handshake, from InitHello until the responder has confirmed it. */
export class Attempt {
  /** A key that is not accepted has replied. */
  refused = false;
  #repetitions = 0;
  readonly #replies: TokenBucket;
  #cookies = 0;
  /** When InitHello got its timestamp. */
  #stampedMs: Millis;
  /** A time reply was taken. */
  #moved = false;

  constructor(now: Millis) {
    this.#replies = new TokenBucket(REPLIES_PER_SECOND, REPLIES_BURST, now);
    this.#stampedMs = now;
  }

  /**
   * Whether InitHello gets a new timestamp before it is repeated: a responder that refuses the old one as not newer than
   * the last would refuse it each time.
   */
  mayRenew(now: Millis): boolean {
    if (now - this.#stampedMs < RENEW_MS) return false;
    this.#stampedMs = now;
    return true;
  }

  /** Whether a time reply is taken: once in a handshake. */
  mayMoveTime(): boolean {
    const first = !this.#moved;
    this.#moved = true;
    return first;
  }

  /**
   * How long in ms to wait before the message is repeated: twice as long each time, and up to a quarter more at random, so
   * that peers do not repeat in step.
   *
   * @param sessionId - a hash over a fresh key: the source of the randomness.
   */
  nextIntervalMs(firstMs: number, sessionId: Uint8Array): number {
    const chance = sessionId[this.#repetitions % sessionId.length]! / 1024;
    const factor = Math.min(2 ** this.#repetitions++, MAX_BACKOFF_FACTOR);
    this.#cookies = 0;
    return firstMs * factor * (1 + chance);
  }

  /** The other side has replied: intervals start again. */
  restart(): void {
    this.#repetitions = 0;
  }

  /** Whether one more reply may be processed now. */
  mayRead(now: Millis): boolean {
    return this.#replies.take(now);
  }

  /** Whether one more cookie may be taken. */
  mayTakeCookie(): boolean {
    return this.#cookies++ < MAX_COOKIES;
  }
}
