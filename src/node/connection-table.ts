/** The established connections of a node. */

import type { NodeConnection } from './node-connection.ts';

/** Bounded by the node's connection limits. */
export class ConnectionTable<Out> {
  readonly #byId = new Map<number, NodeConnection<Out>>(); // Bounded by maxConnections.
  /** The newest connection with each other end. */
  readonly #byAddr = new Map<string, NodeConnection<Out>>(); // Bounded by maxConnections.
  /** Waits for the last connection to be removed. Bounded by one: `close` waits once. */
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

  /** In order of establishment. */
  all(): NodeConnection<Out>[] {
    return Array.from(this.#byId.values());
  }

  add(connection: NodeConnection<Out>): void {
    this.#byId.set(connection.id, connection);
    this.#byAddr.set(connection.addr, connection);
  }

  /** @returns the removed connection. */
  remove(id: number): NodeConnection<Out> | undefined {
    const connection = this.#byId.get(id);
    if (connection === undefined) return undefined;
    this.#byId.delete(id);
    if (this.#byAddr.get(connection.addr) === connection) this.#byAddr.delete(connection.addr);
    if (this.#byId.size === 0) this.#onEmpty?.();
    return connection;
  }

  /** Resolves when the table is empty. */
  empty(): Promise<void> {
    if (this.#byId.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }
}
