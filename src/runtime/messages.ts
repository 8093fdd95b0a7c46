/** Messages as an async iterator, for applications. Swarms that wrap others do not queue this way. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { assertSignal, describeValue, wholeNumber } from '../base/checks.ts';
import type { Message } from '../core/message.ts';
import { type Swarm, assertSwarm } from '../core/swarm.ts';

/** What happens to a message that arrives when `capacity` messages are waiting. */
export type Overflow =
  /** The handler's promise stays pending: flow-controlled links stop reading, lossy ones drop at their own limit. */
  | 'wait'
  /** The oldest waiting message is dropped. */
  | 'drop-oldest'
  /** The new message is dropped. */
  | 'drop-newest'
  /** The iterator throws `limit_exceeded` after the waiting messages have been taken. */
  | 'throw';

/** The buffer of {@link messages}. */
export interface MessagesOptions {
  /** Messages that may wait for the loop. @default 256 (the pending limit of a swarm) */
  readonly capacity?: number | undefined;
  /** @default 'wait' */
  readonly overflow?: Overflow | undefined;
  /** Ends the iteration by throwing `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** The iterator of {@link messages}; leaving the loop detaches it from the swarm. */
export interface MessageIterator<A extends Addr> extends AsyncIterableIterator<Message<A>, undefined>, AsyncDisposable {
  /** The number of messages dropped for lack of room. */
  readonly dropped: number;
  next(): Promise<IteratorResult<Message<A>, undefined>>;
  return(): Promise<IteratorResult<Message<A>, undefined>>;
  [Symbol.asyncIterator](): MessageIterator<A>;
}

const OVERFLOWS: readonly Overflow[] = ['wait', 'drop-oldest', 'drop-newest', 'throw'];

/**
 * Takes the swarm's handler slot at once and yields its messages in order of arrival, until the swarm closes or the
 * loop is left.
 *
 * @throws {TypeError} when the swarm already has a handler, or for invalid options.
 *
 * @example
 * ```ts
 * for await (const { src, payload } of messages(swarm)) await swarm.tell(src, payload);
 * ```
 */
export function messages<A extends Addr>(swarm: Swarm<A>, options: MessagesOptions = {}): MessageIterator<A> {
  assertSwarm(swarm, 'swarm');
  const overflow = options.overflow ?? 'wait';
  if (!OVERFLOWS.includes(overflow)) {
    throw new TypeError(
      `Cannot take overflow: expected one of ${OVERFLOWS.join(', ')}, got ${describeValue(overflow)}`,
    );
  }
  const { signal } = options;
  assertSignal(signal);
  const capacity = wholeNumber(options.capacity, 'capacity', 256, 1, Number.MAX_SAFE_INTEGER);
  return new MessageQueue(swarm, capacity, overflow, signal);
}

interface Waiting<A extends Addr> {
  readonly message: Message<A>;
  /** Settles the handler's promise, for `wait`. */
  readonly taken: (() => void) | undefined;
}

class MessageQueue<A extends Addr> implements MessageIterator<A> {
  dropped = 0;
  readonly #capacity: number;
  readonly #overflow: Overflow;
  readonly #handler: Disposable;
  readonly #signal: AbortSignal | undefined;
  /** Bounded by `capacity`; with `wait`, by the swarm's pending limits. */
  #waiting: Waiting<A>[] = [];
  /** Callers of `next` that wait. Bounded by the pending calls. */
  #takers: PromiseWithResolvers<IteratorResult<Message<A>, undefined>>[] = [];
  #ended: { readonly error?: unknown } | undefined;

  constructor(swarm: Swarm<A>, capacity: number, overflow: Overflow, signal: AbortSignal | undefined) {
    this.#capacity = capacity;
    this.#overflow = overflow;
    this.#signal = signal;
    this.#handler = swarm.listen((message) => this.#take(message));
    void swarm.closed.then(() => this.#end({}));
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort);
  }

  next(): Promise<IteratorResult<Message<A>, undefined>> {
    const first = this.#waiting.shift();
    if (first !== undefined) {
      first.taken?.();
      return Promise.resolve({ done: false, value: first.message });
    }
    if (this.#ended !== undefined) {
      const { error } = this.#ended;
      this.#ended = {};
      return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
    }
    const taker = Promise.withResolvers<IteratorResult<Message<A>, undefined>>();
    this.#takers.push(taker);
    return taker.promise;
  }

  return(): Promise<IteratorResult<Message<A>, undefined>> {
    this.#end({});
    for (const { taken } of this.#waiting) taken?.();
    this.#waiting = [];
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): MessageIterator<A> {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #take(message: Message<A>): void | Promise<void> {
    const taker = this.#takers.shift();
    if (taker !== undefined) {
      taker.resolve({ done: false, value: message });
      return undefined;
    }
    const full = this.#waiting.length >= this.#capacity;
    if (full && this.#overflow === 'wait') {
      return new Promise((taken) => void this.#waiting.push({ message, taken }));
    }
    if (full && this.#overflow === 'throw') {
      this.#end({
        error: new P2PError('limit_exceeded', 'local', `Cannot queue message: ${this.#capacity} messages are waiting`),
      });
      return undefined;
    }
    if (full) this.dropped++;
    if (full && this.#overflow === 'drop-newest') return undefined;
    if (full) this.#waiting.shift();
    this.#waiting.push({ message, taken: undefined });
    return undefined;
  }

  readonly #onAbort = (): void => this.#end({ error: this.#signal?.reason });

  #end(how: { readonly error?: unknown }): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    this.#handler[Symbol.dispose]();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    const takers = this.#takers;
    this.#takers = [];
    for (const [i, taker] of takers.entries()) {
      if (i === 0 && how.error !== undefined) {
        this.#ended = {};
        taker.reject(how.error);
      } else taker.resolve({ done: true, value: undefined });
    }
  }
}
