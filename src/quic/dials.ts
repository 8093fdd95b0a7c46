/** Connections that are being made, and who waits for them. */

import { P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';

/** Calls that wait for one dial. More fail at once, so that a dead address gathers no heap of messages. */
export const MAX_DIAL_WAITERS = 4096;

/** Gets what was waited for, or why it did not come. */
export type DialWaiter<S> = (result: S | P2PError) => void;

/** A connection that is being made. */
export interface Dial<T, S, C = QuicConnection> {
  /** Those who want the same share the dial; `undefined`: it is not to be shared. */
  readonly key: string | undefined;
  readonly target: T;
  readonly connection: C;
  /** In order. Bounded by `MAX_DIAL_WAITERS`. */
  readonly waiters: Set<DialWaiter<S>>;
  /** Who answered instead, if it was another. */
  found: PeerId | undefined;
}

/**
 * Dials by what is dialled: those who want the same share one. Bounded by connections in their handshake.
 *
 * @typeParam C - what a connection is; TCP's swarm uses the table as well.
 */
export class DialTable<T, S, C = QuicConnection> {
  readonly #byKey = new Map<string, Dial<T, S, C>>();
  readonly #byConnection = new Map<C, Dial<T, S, C>>();
  readonly #abandoned: ((dial: Dial<T, S, C>) => void) | undefined;

  /** @param abandoned - told when the last one who waited has given up. */
  constructor(abandoned?: (dial: Dial<T, S, C>) => void) {
    this.#abandoned = abandoned;
  }

  get size(): number {
    return this.#byConnection.size;
  }

  values(): Iterable<Dial<T, S, C>> {
    return this.#byConnection.values();
  }

  get(key: string): Dial<T, S, C> | undefined {
    return this.#byKey.get(key);
  }

  of(connection: C): Dial<T, S, C> | undefined {
    return this.#byConnection.get(connection);
  }

  add(key: string | undefined, target: T, connection: C): Dial<T, S, C> {
    const dial: Dial<T, S, C> = { key, target, connection, waiters: new Set(), found: undefined };
    if (key !== undefined) this.#byKey.set(key, dial);
    this.#byConnection.set(connection, dial);
    return dial;
  }

  /** Waits for a dial. Answers what gives up waiting. */
  join(dial: Dial<T, S, C>, what: string, waiter: DialWaiter<S>, maxWaiters: number = MAX_DIAL_WAITERS): () => void {
    if (dial.waiters.size >= maxWaiters) {
      const full = `Cannot reach ${what}: ${maxWaiters} calls wait for it already`;
      waiter(new P2PError('limit_exceeded', 'local', full, { sent: 'no' }));
      return () => {};
    }
    const own: DialWaiter<S> = (result) => waiter(result);
    dial.waiters.add(own);
    return () => {
      if (!dial.waiters.delete(own) || dial.waiters.size > 0) return;
      if (this.#byConnection.get(dial.connection) === dial) this.#abandoned?.(dial);
    };
  }

  /** The dial of a connection, taken out: nobody else can join it. */
  take(connection: C): Dial<T, S, C> | undefined {
    const dial = this.#byConnection.get(connection);
    if (dial === undefined) return undefined;
    this.#byConnection.delete(connection);
    if (dial.key !== undefined && this.#byKey.get(dial.key) === dial) this.#byKey.delete(dial.key);
    return dial;
  }

  /** Tells all who wait, in order. */
  settle(dial: Dial<T, S, C>, result: S | P2PError): void {
    const waiters = [...dial.waiters];
    dial.waiters.clear();
    for (const waiter of waiters) waiter(result);
  }
}
