/** Messages of a connection that wait to be taken. */

import type { Waits } from '../runtime/waits.ts';
import type { PendingBudget } from '../swarm-kit/pending-budget.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import { type Feed, type FeedOptions, Feeds } from './feed.ts';
import type { SharedInbox } from './shared-inbox.ts';
import type { StreamBudget } from './stream-budget.ts';

/** What an inbox needs of its connection. */
export interface InboxHooks<T, M> {
  /** For messages about waits that do not end. */
  readonly what: string;
  readonly waits: Waits;
  /** Bounds what waits. */
  readonly pending: PendingBudget;
  readonly memory: StreamBudget;
  /** Gets the messages while no loop runs over those of this connection. */
  readonly shared: SharedInbox<T>;
  /** A message is taken: returns it as the application gets it. */
  taken(message: M, stream: QuicStream): T;
  /** Once nothing more can come: how it ended. */
  ended(): { readonly error?: unknown } | undefined;
}

interface Unread<M> {
  readonly message: M;
  readonly stream: QuicStream;
  readonly size: number;
}

/**
 * The receiver adds each finished message; a loop takes it: the loop over this connection's messages, or else the loop over the messages of all
 * connections.
 *
 * @typeParam T - a message with its origin.
 * @typeParam M - a message.
 */
export class Inbox<T, M> {
  readonly #hooks: InboxHooks<T, M>;
  readonly #feeds: Feeds<T>;
  /** Bounded by `pending`. */
  #unread: Unread<M>[] = [];
  #takenCount = 0;

  constructor(hooks: InboxHooks<T, M>) {
    this.#hooks = hooks;
    const { what, waits } = hooks;
    const source = { what, waits, take: () => this.take(), ended: () => hooks.ended() };
    this.#feeds = new Feeds<T>(source, () => this.wake());
  }

  /** Messages that wait. */
  get size(): number {
    return this.#unread.length - this.#takenCount;
  }

  /** Iterates over the messages of this connection; meanwhile loops over those of all connections get none of it. */
  iterate(options: FeedOptions | undefined): Feed<T> {
    return this.#feeds.iterate(options);
  }

  /** A message is finished. */
  put(message: M, stream: QuicStream, size: number): void {
    this.#hooks.pending.take(size);
    this.#hooks.memory.change(size, 1);
    this.#unread.push({ message, stream, size });
    this.wake();
  }

  /** The next message, taken out. */
  take(): T | undefined {
    const first = this.#next();
    return first === undefined ? undefined : this.#hooks.taken(first.message, first.stream);
  }

  /** There is something to take, or nothing more will come: those who iterate look again. */
  wake(): void {
    if (this.#feeds.size > 0) this.#feeds.wake();
    else this.#hooks.shared.changed(this);
  }

  /** The next message for a loop over those of all connections. */
  takeShared(): T | undefined {
    return this.#feeds.size > 0 ? undefined : this.take();
  }

  /** Drops what was not taken. */
  clear(): void {
    while (this.#next() !== undefined);
  }

  #next(): Unread<M> | undefined {
    const first = this.#unread[this.#takenCount];
    if (first === undefined) return undefined;
    this.#takenCount++;
    if (this.#takenCount > 32 && this.#takenCount * 2 > this.#unread.length) {
      this.#unread = this.#unread.slice(this.#takenCount);
      this.#takenCount = 0;
    }
    this.#hooks.memory.change(-first.size, -1);
    this.#hooks.pending.give(first.size);
    return first;
  }
}
