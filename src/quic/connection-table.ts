/** Connections by whose they are: the one to use first. */

import { type QuicConnection } from '../protocols/quic/connection.ts';

/**
 * Connections with one peer that are kept. Two are there when both dial at once, more when a peer restarts again and again, or
 * dials one for each of its first messages, as go-p2p does.
 */
export const MAX_CONNECTIONS_PER_PEER = 4;

/** What goes over a connection. */
export interface OverConnection {
  readonly connection: QuicConnection;
}

/** Several connections for each key. */
export class ConnectionTable<K, S extends OverConnection> {
  /** With their keys. Bounded by `maxConnections`. */
  readonly #byConnection = new Map<QuicConnection, { readonly key: K; readonly value: S }>();
  /** The one to use, then the others, newest first. Bounded by the same. */
  readonly #byKey = new Map<K, S[]>();
  readonly #maxPerKey: number;

  constructor(maxPerKey: number = MAX_CONNECTIONS_PER_PEER) {
    this.#maxPerKey = maxPerKey;
  }

  /** Connections. */
  get size(): number {
    return this.#byConnection.size;
  }

  /** Keys that have one. */
  get keys(): number {
    return this.#byKey.size;
  }

  *values(): Generator<S, void, undefined> {
    for (const { value } of this.#byConnection.values()) yield value;
  }

  of(connection: QuicConnection): S | undefined {
    return this.#byConnection.get(connection)?.value;
  }

  /** The one to use, if there is any. */
  current(key: K): S | undefined {
    return this.#byKey.get(key)?.[0];
  }

  /** All of a key, the one to use first. */
  all(key: K): readonly S[] {
    return this.#byKey.get(key) ?? [];
  }

  /**
   * Takes one in.
   *
   * @param preferred - whether it is the one to use from now on.
   * @returns the one that is too many for its key now.
   */
  add(key: K, value: S, preferred: boolean): S | undefined {
    this.#byConnection.set(value.connection, { key, value });
    const values = this.#byKey.get(key);
    if (values === undefined) {
      this.#byKey.set(key, [value]);
      return undefined;
    }
    values.splice(preferred ? 0 : 1, 0, value);
    return values[this.#maxPerKey];
  }

  /** Forgets one; where it was the one to use, the newest of the others is. Answers whether it was there. */
  remove(connection: QuicConnection): boolean {
    const entry = this.#byConnection.get(connection);
    if (entry === undefined) return false;
    this.#byConnection.delete(connection);
    const values = this.#byKey.get(entry.key)!;
    values.splice(values.indexOf(entry.value), 1);
    if (values.length === 0) this.#byKey.delete(entry.key);
    return true;
  }
}
