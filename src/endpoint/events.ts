/** Events of an endpoint, for every loop over them. */

import type { Addr } from '../core/addr.ts';
import { wholeNumber } from '../base/checks.ts';
import type { Waits } from '../runtime/waits.ts';
import type { EndpointEvent, EventFeed, EventOptions } from './endpoint.ts';
import { type FeedSource, LiveFeed } from './feed.ts';

class LiveEventFeed<A extends Addr, M> extends LiveFeed<EndpointEvent<A, M>> implements EventFeed<A, M> {
  readonly #dropped: () => number;

  constructor(source: FeedSource<EndpointEvent<A, M>>, options: EventOptions, left: () => void, dropped: () => number) {
    super(source, options, left);
    this.#dropped = dropped;
  }

  get dropped(): number {
    return this.#dropped();
  }

  override [Symbol.asyncIterator](): EventFeed<A, M> {
    return this;
  }
}

interface Listener<A extends Addr, M> {
  readonly feed: LiveFeed<EndpointEvent<A, M>>;
  /** Bounded by `capacity`. */
  readonly queue: EndpointEvent<A, M>[];
  readonly capacity: number;
  dropped: number;
}

const CAPACITY = 1024;

/** Gives each event to every loop over the endpoint's events. */
export class EventSubscribers<A extends Addr, M> {
  readonly #waits: Waits;
  readonly #isClosed: () => boolean;
  /** Bounded by the loops of the application. */
  readonly #listeners = new Set<Listener<A, M>>();

  constructor(waits: Waits, isClosed: () => boolean) {
    this.#waits = waits;
    this.#isClosed = isClosed;
  }

  /** Whether there is a loop. Messages are kept for `sent` and `unsent` only then. */
  get heard(): boolean {
    return this.#listeners.size > 0;
  }

  listen(options: EventOptions = {}): EventFeed<A, M> {
    const capacity = wholeNumber(options.capacity, 'capacity', CAPACITY, 1, 2 ** 24);
    const queue: EndpointEvent<A, M>[] = [];
    const feed = new LiveEventFeed<A, M>(
      {
        what: 'events of the endpoint',
        waits: this.#waits,
        take: () => queue.shift(),
        ended: () => (this.#isClosed() ? {} : undefined),
      },
      options,
      () => this.#listeners.delete(listener),
      () => listener.dropped,
    );
    const listener: Listener<A, M> = { feed, queue, capacity, dropped: 0 };
    this.#listeners.add(listener);
    return feed;
  }

  emit(event: EndpointEvent<A, M>): void {
    for (const listener of this.#listeners) {
      listener.queue.push(event);
      if (listener.queue.length > listener.capacity) {
        listener.queue.shift();
        listener.dropped++;
      }
      listener.feed.wake();
    }
  }

  /** The endpoint has closed: loops that wait end. */
  wake(): void {
    for (const { feed } of this.#listeners) feed.wake();
  }
}
