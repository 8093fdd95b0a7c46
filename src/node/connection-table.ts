/** The connections of a node that are up. */

import { type NodeConnection } from './node-connection.ts';

/** Bounded by the places that the node gives out. */
export class ConnectionTable<Out> {
  readonly #byId = new Map<number, NodeConnection<Out>>(); // Bounded by maxConnections.
  /** The newest connection with each other end. */
  readonly #byAddr = new Map<string, NodeConnection<Out>>(); // Bounded by maxConnections.
  /** Those who wait for the last to go. Bounded by one: `close` waits once. */
  #onEmpty: (() => void) | undefined;

  get size(): number {
    return this.#byId.size;
  }

  has(addr: string): boolean {
    return this.#byAddr.has(addr);
  }

  get(addr: string): NodeConnection<Out> | undefined {
    return this.#byAddr.get(addr);
  }

  /** In the order in which they came up. */
  all(): NodeConnection<Out>[] {
    return Array.from(this.#byId.values());
  }

  add(connection: NodeConnection<Out>): void {
    this.#byId.set(connection.id, connection);
    this.#byAddr.set(connection.addr, connection);
  }

  /** @returns what was there. */
  remove(id: number): NodeConnection<Out> | undefined {
    const connection = this.#byId.get(id);
    if (connection === undefined) return undefined;
    this.#byId.delete(id);
    if (this.#byAddr.get(connection.addr) === connection) this.#byAddr.delete(connection.addr);
    if (this.#byId.size === 0) this.#onEmpty?.();
    return connection;
  }

  /** Resolves when there is none. */
  empty(): Promise<void> {
    if (this.#byId.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }
}
