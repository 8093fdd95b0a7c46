/** What happens at an endpoint, for those who want to know. */

import { type Addr } from '../core/addr.ts';
import { wholeNumber } from '../base/checks.ts';
import { type Waits } from '../runtime/waits.ts';
import { type EndpointEvent, type EventFeed, type EventOptions } from './endpoint.ts';
import { LiveFeed } from './feed.ts';

class LiveEventFeed<A extends Addr> extends LiveFeed<EndpointEvent<A>> implements EventFeed<A> {
  readonly #dropped: () => number;

  constructor(
    source: ConstructorParameters<typeof LiveFeed<EndpointEvent<A>>>[0],
    options: EventOptions,
    dropped: () => number,
  ) {
    super(source, options);
    this.#dropped = dropped;
  }

  get dropped(): number {
    return this.#dropped();
  }

  override [Symbol.asyncIterator](): EventFeed<A> {
    return this;
  }
}

interface Listener<A extends Addr> {
  readonly feed: LiveFeed<EndpointEvent<A>>;
  /** Bounded by `capacity`. */
  readonly queue: EndpointEvent<A>[];
  readonly capacity: number;
  dropped: number;
}

const CAPACITY = 1024;

/** Hands each event to each of those who iterate. */
export class EventSubscribers<A extends Addr> {
  readonly #waits: Waits;
  readonly #isClosed: () => boolean;
  /** Bounded by those who iterate. */
  readonly #listeners = new Set<Listener<A>>();

  constructor(waits: Waits, isClosed: () => boolean) {
    this.#waits = waits;
    this.#isClosed = isClosed;
  }

  /** Whether anybody would hear of an event; messages are kept for `sent` and `unsent` only then. */
  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  listen(options: EventOptions = {}): EventFeed<A> {
    const capacity = wholeNumber(options.capacity, 'capacity', CAPACITY, 1, 2 ** 24);
    const queue: EndpointEvent<A>[] = [];
    const feed = new LiveEventFeed<A>(
      {
        what: 'events of the endpoint',
        waits: this.#waits,
        take: () => queue.shift(),
        ended: () => (this.#isClosed() ? {} : undefined),
        left: () => this.#listeners.delete(listener),
      },
      options,
      () => listener.dropped,
    );
    const listener: Listener<A> = { feed, queue, capacity, dropped: 0 };
    this.#listeners.add(listener);
    return feed;
  }

  emit(event: EndpointEvent<A>): void {
    for (const listener of this.#listeners) {
      listener.queue.push(event);
      if (listener.queue.length > listener.capacity) {
        listener.queue.shift();
        listener.dropped++;
      }
      listener.feed.wake();
    }
  }

  /** Nothing more will happen: those who wait are told. */
  wake(): void {
    for (const { feed } of this.#listeners) feed.wake();
  }
}
