/** Messages of all connections of an endpoint, taken from each connection in turn. */

import type { Waits } from '../runtime/waits.ts';
import { type Feed, type FeedOptions, Feeds } from './feed.ts';

/** The messages of one connection. */
export interface MessageSource<T> {
  /** Messages that wait. */
  readonly size: number;
  /** The next one, unless this connection's messages are iterated by themselves. */
  takeShared(): T | undefined;
}

export class SharedInbox<T> {
  readonly #feeds: Feeds<T>;
  /** Connections with messages that can be taken, each in its turn. Bounded by those that are open or linger. */
  readonly #ready = new Set<MessageSource<T>>();

  /** @param ended - once the endpoint has closed: how. */
  constructor(waits: Waits, ended: () => { readonly error?: unknown } | undefined) {
    this.#feeds = new Feeds<T>({ what: 'messages of the endpoint', waits, take: () => this.#take(), ended });
  }

  /** Connections with messages that wait. */
  get size(): number {
    return this.#ready.size;
  }

  iterate(options: FeedOptions | undefined): Feed<T> {
    return this.#feeds.iterate(options);
  }

  /** Messages of a connection wait, or none any more: one that has ended, and whose messages were dropped, must not stay here. */
  changed(source: MessageSource<T>): void {
    if (source.size === 0) this.#ready.delete(source);
    else this.#ready.add(source);
    this.#feeds.wake();
  }

  /** The endpoint has closed. */
  close(): void {
    this.#ready.clear();
    this.#feeds.wake();
  }

  #take(): T | undefined {
    for (const source of this.#ready) {
      this.#ready.delete(source);
      const message = source.takeShared();
      if (message === undefined) continue;
      // Behind the others: none can keep them from their turn.
      if (source.size > 0) this.#ready.add(source);
      return message;
    }
    return undefined;
  }
}
