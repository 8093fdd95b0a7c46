/** What a channel counts and keeps about the one handshake that it has begun. */

import { type Millis } from '../../base/machine.ts';
import { TokenBucket } from '../../base/token-bucket.ts';

/** A handshake message is repeated at intervals up to this many times the first. */
const MAX_BACKOFF_FACTOR = 8;

/**
 * Replies that are looked at: each costs a key agreement and perhaps a signature check. The rate lies above what somebody
 * who cannot see the path may send without wasting a core (about a third of one), so that the honest reply gets its turn.
 */
const REPLIES_PER_SECOND = 4000;
const REPLIES_BURST = 256;

/** Cookies that are taken between two repetitions. Each makes one more InitHello, so forged ones do not replace others. */
const MAX_COOKIES = 32;

/** After how long in ms a repeated InitHello gets a new timestamp. */
const RENEW_MS = 1000;

/** One handshake, from InitHello until the responder has confirmed it. */
export class Attempt {
  /** It was answered by a key that is not accepted. */
  refused = false;
  #repetitions = 0;
  readonly #replies: TokenBucket;
  #cookies = 0;
  /** When InitHello got its timestamp. */
  #stampedMs: Millis;
  /** The other side has named a time that ours was put behind. */
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

  /** Whether the time that a responder names is taken: once in a handshake. */
  mayMoveTime(): boolean {
    const first = !this.#moved;
    this.#moved = true;
    return first;
  }

  /**
   * How long in ms to wait before the message is said again: doubles each time, and up to a quarter more by chance, so
   * that peers fall out of step.
   *
   * @param sessionId - a hash over a fresh key, which is chance enough and costs no draw.
   */
  nextIntervalMs(firstMs: number, sessionId: Uint8Array): number {
    const chance = sessionId[this.#repetitions % sessionId.length]! / 1024;
    const factor = Math.min(2 ** this.#repetitions++, MAX_BACKOFF_FACTOR);
    this.#cookies = 0;
    return firstMs * factor * (1 + chance);
  }

  /** The other side has moved on: intervals begin anew. */
  restart(): void {
    this.#repetitions = 0;
  }

  /** Whether one more reply may be looked at now. */
  mayRead(now: Millis): boolean {
    return this.#replies.take(now);
  }

  /** Whether one more cookie may be taken. */
  mayTakeCookie(): boolean {
    return this.#cookies++ < MAX_COOKIES;
  }
}
