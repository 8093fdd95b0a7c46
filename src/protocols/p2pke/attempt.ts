/** What a channel counts and keeps about the one handshake that it has begun. */

import { type Bytes } from '../../core/bytes.ts';

/** A handshake message is repeated at intervals up to this many times the first. */
const MAX_BACKOFF_FACTOR = 8;

/** Replies that are looked at between two repetitions: each costs a key agreement and perhaps a signature check. */
const MAX_REPLIES = 64;

/** Cookies that are taken in one handshake; a peer changes its cookies every two minutes. */
const MAX_COOKIES = 3;

/** What is kept of the data that was sent right behind InitDone, to be said again with it. */
const MAX_EARLY_DATAGRAMS = 32;
const MAX_EARLY_BYTES = 64 * 1024;

/** One handshake, from InitHello until the responder has confirmed it. */
export class Attempt {
  /** It was answered by a key that is not accepted. */
  refused = false;
  #repetitions = 0;
  #replies = 0;
  #cookies = 0;
  /** Bounded by MAX_EARLY_DATAGRAMS and MAX_EARLY_BYTES. */
  readonly early: Bytes[] = [];
  #earlyBytes = 0;

  /**
   * How long in ms to wait before the message is said again: doubles each time, and up to a quarter more by chance, so
   * that peers fall out of step.
   *
   * @param sessionId - a hash over a fresh key, which is chance enough and costs no draw.
   */
  nextIntervalMs(firstMs: number, sessionId: Uint8Array): number {
    const chance = sessionId[this.#repetitions % sessionId.length]! / 1024;
    const factor = Math.min(2 ** this.#repetitions++, MAX_BACKOFF_FACTOR);
    this.#replies = 0;
    return firstMs * factor * (1 + chance);
  }

  /** The other side has moved on: intervals begin anew. */
  restart(): void {
    this.#repetitions = 0;
  }

  /** Whether one more reply may be looked at now. */
  mayRead(): boolean {
    return this.#replies++ < MAX_REPLIES;
  }

  /** Whether one more cookie may be taken. */
  mayTakeCookie(): boolean {
    return this.#cookies++ < MAX_COOKIES;
  }

  /** Keeps a datagram that was sent before the handshake was confirmed; beyond the bounds it is only sent once. */
  keep(datagram: Bytes): void {
    if (this.early.length >= MAX_EARLY_DATAGRAMS || this.#earlyBytes + datagram.length > MAX_EARLY_BYTES) return;
    this.early.push(datagram);
    this.#earlyBytes += datagram.length;
  }
}
