/** Async iterators over what comes. They have no queue of their own: what is not taken stays where its bounds are. */

import { describeOption } from '../base/checks.ts';
import { checkCall, type Wait, type Waits } from '../runtime/waits.ts';

/** How something is iterated. */
export interface FeedOptions {
  /** Ends the iteration by throwing `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** The longest wait for the next item. Then `next()` throws `timeout`; it may be called again. @default Infinity */
  readonly timeoutMs?: number | undefined;
}

/** Gives what comes, in order, until it ends or the loop is left. */
export interface Feed<T> extends AsyncIterableIterator<T, undefined>, AsyncDisposable {
  next(): Promise<IteratorResult<T, undefined>>;
  /** What is there now, without waiting; `undefined` when there is nothing. */
  tryNext(): T | undefined;
  return(): Promise<IteratorResult<T, undefined>>;
  [Symbol.asyncIterator](): Feed<T>;
}

/** What feeds take from. */
export interface FeedSource<T> {
  /** For messages about waits that do not end. */
  readonly what: string;
  readonly waits: Waits;
  take(): T | undefined;
  /** Once nothing more can come: how it ended. An error is thrown once by each feed. */
  ended(): { readonly error?: unknown } | undefined;
}

/** A feed on a source; `wake` has it look again. */
export class LiveFeed<T> implements Feed<T> {
  readonly #source: FeedSource<T>;
  readonly #options: FeedOptions;
  readonly #left: (feed: LiveFeed<T>) => void;
  /** Callers of `next` with nothing to give them. Bounded by the calls under way. */
  readonly #takers = new Set<Wait<IteratorResult<T, undefined>>>();
  #isLeft = false;
  #threw = false;

  /** @param left - called when the loop is left. */
  constructor(source: FeedSource<T>, options: FeedOptions = {}, left: (feed: LiveFeed<T>) => void = () => {}) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`Cannot take options: expected an object, got ${describeOption('options', options)}`);
    }
    checkCall(options);
    this.#source = source;
    this.#options = options;
    this.#left = left;
  }

  tryNext(): T | undefined {
    return this.#isLeft ? undefined : this.#source.take();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const { signal } = this.#options;
    const now = this.#now();
    if (now !== undefined) return now;
    const { what, waits } = this.#source;
    const call = { signal, timeoutMs: this.#options.timeoutMs };
    return waits.wait({ what: () => what, call, defaultTimeoutMs: Infinity, sent: () => 'no' }, (wait) => {
      this.#takers.add(wait);
      return () => this.#takers.delete(wait);
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#isLeft) {
      this.#isLeft = true;
      this.#left(this);
      for (const taker of this.#takers) taker.resolve({ done: true, value: undefined });
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): Feed<T> {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** There is something to take, or the end: callers of `next` get it. */
  wake(): void {
    while (this.#takers.size > 0) {
      const [taker] = this.#takers;
      const value = this.#source.take();
      if (value !== undefined) {
        taker!.resolve({ done: false, value });
        continue;
      }
      const end = this.#source.ended();
      if (end === undefined) return;
      if ('error' in end && !this.#threw) {
        this.#threw = true;
        taker!.reject(end.error);
      } else taker!.resolve({ done: true, value: undefined });
    }
  }

  #now(): Promise<IteratorResult<T, undefined>> | undefined {
    const done = { done: true, value: undefined } as const;
    if (this.#isLeft) return Promise.resolve(done);
    const { signal } = this.#options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const value = this.#source.take();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    const end = this.#source.ended();
    if (end === undefined) return undefined;
    if (!('error' in end) || this.#threw) return Promise.resolve(done);
    this.#threw = true;
    return Promise.reject(end.error);
  }
}

/** The feeds on one source. */
export class Feeds<T> {
  readonly #source: FeedSource<T>;
  readonly #left: () => void;
  /** Bounded by the loops of the application. */
  readonly #feeds = new Set<LiveFeed<T>>();

  /** @param left - called after one of them was left. */
  constructor(source: FeedSource<T>, left: () => void = () => {}) {
    this.#source = source;
    this.#left = left;
  }

  get size(): number {
    return this.#feeds.size;
  }

  iterate(options: FeedOptions | undefined): Feed<T> {
    const feed = new LiveFeed<T>(this.#source, options, (left) => {
      this.#feeds.delete(left);
      this.#left();
    });
    this.#feeds.add(feed);
    return feed;
  }

  wake(): void {
    for (const feed of this.#feeds) feed.wake();
  }
}
