/** Connections that have ended with messages that nobody has taken yet. */

import { type Millis } from '../base/machine.ts';

/** Of more, the one of which nothing was taken for longest is forgotten. */
const MAX_LINGERING = 1024;
/** Where memory is short, what nobody takes is kept for so long after the end of its connection. */
const LINGER_MS = 10_000;
/** Memory is short when messages, or engines, hold so much. */
const LINGER_BYTES = 8 * 2 ** 20;
const LINGER_ENGINE_BYTES = 16 * 2 ** 20;

/** What keeps messages until they are forgotten. */
export interface Forgettable {
  /** Drops what was not taken. */
  forget(): void;
}

export class Lingering<C extends Forgettable> {
  /** With when something of it was last taken, longest ago first. Bounded by `MAX_LINGERING`. */
  readonly #sinceMs = new Map<C, Millis>();
  readonly #untaken: () => void;

  /** @param untaken - told of each connection whose messages are given up. */
  constructor(untaken: () => void) {
    this.#untaken = untaken;
  }

  get size(): number {
    return this.#sinceMs.size;
  }

  has(connection: C): boolean {
    return this.#sinceMs.has(connection);
  }

  /** A connection has ended, or something of it was taken. */
  add(connection: C, nowMs: Millis): void {
    this.#sinceMs.delete(connection);
    this.#sinceMs.set(connection, nowMs);
    const [longest] = this.#sinceMs.keys();
    if (this.#sinceMs.size > MAX_LINGERING) this.#giveUp(longest!);
  }

  /** Everything of it was taken. */
  done(connection: C): void {
    if (this.#sinceMs.delete(connection)) connection.forget();
  }

  /** Gives up what nobody takes, where memory is short. @returns whether something was given up */
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

  /** Forgets all. */
  close(): void {
    for (const connection of this.#sinceMs.keys()) connection.forget();
  }

  #giveUp(connection: C): void {
    this.#sinceMs.delete(connection);
    connection.forget();
    this.#untaken();
  }
}
