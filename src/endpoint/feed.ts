/** Async iterators over what comes, without a queue of their own: what is not taken stays where its bounds are. */

import { describeOption } from '../base/checks.ts';
import { checkCall, type Wait, type Waits } from '../runtime/waits.ts';

/** How something is iterated. */
export interface FeedOptions {
  /** Ends the iteration by throwing `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /** The longest wait for the next one; then `timeout` is thrown, and one may go on. @default Infinity */
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

/** What a feed takes from. */
export interface FeedSource<T> {
  /** For those who look for what hangs. */
  readonly what: string;
  readonly waits: Waits;
  take(): T | undefined;
  /** Once nothing more can come: how it ended. An error is thrown once. */
  ended(): { readonly error?: unknown } | undefined;
  /** The loop was left. */
  left(feed: LiveFeed<T>): void;
}

/** A feed on a source that wakes it. */
export class LiveFeed<T> implements Feed<T> {
  readonly #source: FeedSource<T>;
  readonly #options: FeedOptions;
  /** Callers of `next` with nothing to give them. Bounded by the calls under way. */
  readonly #takers = new Set<Wait<IteratorResult<T, undefined>>>();
  #left = false;
  #threw = false;

  constructor(source: FeedSource<T>, options: FeedOptions = {}) {
    if (typeof options !== 'object' || options === null) {
      throw new TypeError(`Cannot take options: expected an object, got ${describeOption('options', options)}`);
    }
    checkCall(options);
    this.#source = source;
    this.#options = options;
  }

  tryNext(): T | undefined {
    return this.#left ? undefined : this.#source.take();
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
    if (!this.#left) {
      this.#left = true;
      this.#source.left(this);
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

  /** Something has come, or the end: those who wait look again. */
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
    if (this.#left) return Promise.resolve(done);
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
