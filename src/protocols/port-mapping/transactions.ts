/** Datagrams that are repeated until they are answered, for services of one datagram each way. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';

/** RFC 6886 §3.1: the first pause, which doubles each time. PCP says 3 s (RFC 6887 §8.1.1): too long for a first verdict. */
const FIRST_RETRY_MS = 250;
/** A question without an answer has failed; as long as answers to a probe count. */
export const ANSWER_MS = 3000;
/** A pause after which 32 bytes more would not help. */
const MAX_RETRY_MS = 2000;

interface Pending {
  readonly bytes: Bytes;
  readonly endMs: Millis;
  readonly failed: (now: Millis) => void;
  pauseMs: number;
  nextMs: Millis;
}

/** What is under way with one router. */
export class Transactions {
  readonly #send: (bytes: Bytes) => void;
  /** By purpose: a probe, or a mapping. Bounded by the mappings and one. */
  readonly #pending = new Map<string, Pending>();

  constructor(send: (bytes: Bytes) => void) {
    this.#send = send;
  }

  /** Sends now and until {@link Transactions.end}; a question of the same key is replaced. */
  begin(now: Millis, key: string, bytes: Bytes, failed: (now: Millis) => void): void {
    this.#pending.set(key, {
      bytes,
      failed,
      endMs: now + ANSWER_MS,
      pauseMs: FIRST_RETRY_MS,
      nextMs: now + FIRST_RETRY_MS,
    });
    this.#send(bytes);
  }

  /** @returns whether there was such a question. */
  end(key: string): boolean {
    return this.#pending.delete(key);
  }

  has(key: string): boolean {
    return this.#pending.has(key);
  }

  get nextMs(): Millis {
    let next = Infinity;
    for (const { nextMs, endMs } of this.#pending.values()) next = Math.min(next, nextMs, endMs);
    return next;
  }

  handleTimeout(now: Millis): void {
    for (const [key, pending] of this.#pending) {
      if (now >= pending.endMs) {
        this.#pending.delete(key);
        pending.failed(now);
      } else if (now >= pending.nextMs) {
        pending.pauseMs = Math.min(2 * pending.pauseMs, MAX_RETRY_MS);
        pending.nextMs = now + pending.pauseMs;
        this.#send(pending.bytes);
      }
    }
  }
}
