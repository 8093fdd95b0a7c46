/** Connections that have ended and still have messages to be taken. */

import type { Millis } from '../base/machine.ts';

/** When there are more, the one from which nothing was taken for the longest time is forgotten. */
const MAX_LINGERING = 1024;
/** When memory is short, messages are dropped when none of their connection was taken for this time. */
const LINGER_MS = 10_000;
/** Memory is short when messages, or engines, hold more than this. */
const LINGER_BYTES = 8 * 2 ** 20;
const LINGER_ENGINE_BYTES = 16 * 2 ** 20;

/** Something with messages that can be dropped. */
export interface Forgettable {
  /** Drops the messages that were not taken. */
  forget(): void;
}

export class Lingering<C extends Forgettable> {
  /** When a message of each was last taken, the longest ago first. Bounded by `MAX_LINGERING`. */
  readonly #sinceMs = new Map<C, Millis>();
  readonly #untaken: () => void;

  /** @param untaken - called for each connection whose messages are dropped. */
  constructor(untaken: () => void) {
    this.#untaken = untaken;
  }

  get size(): number {
    return this.#sinceMs.size;
  }

  has(connection: C): boolean {
    return this.#sinceMs.has(connection);
  }

  /** A connection has ended, or a message of it was taken. */
  add(connection: C, nowMs: Millis): void {
    this.#sinceMs.delete(connection);
    this.#sinceMs.set(connection, nowMs);
    const [longest] = this.#sinceMs.keys();
    if (this.#sinceMs.size > MAX_LINGERING) this.#giveUp(longest!);
  }

  /** All its messages were taken. */
  done(connection: C): void {
    if (this.#sinceMs.delete(connection)) connection.forget();
  }

  /** When memory is short, drops messages that are not taken. @returns whether some were dropped */
  relieve(nowMs: Millis, held: { readonly messageBytes: number; readonly engineBytes: number }): boolean {
    if (held.messageBytes <= LINGER_BYTES && held.engineBytes <= LINGER_ENGINE_BYTES) return false;
    let gaveUp = false;
    for (const [connection, sinceMs] of this.#sinceMs) {
      if (nowMs - sinceMs < LINGER_MS) break;
      this.#giveUp(connection);
      gaveUp = true;
    }
    return gaveUp;
  }

  /** Drops all messages. */
  close(): void {
    for (const connection of this.#sinceMs.keys()) connection.forget();
  }

  #giveUp(connection: C): void {
    this.#sinceMs.delete(connection);
    connection.forget();
    this.#untaken();
  }
}
