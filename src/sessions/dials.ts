/** Dials in progress, and the calls that wait for them. */

import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';

/**
 * Calls that may wait for one dial. Further calls fail at once, so that messages to an unreachable address do not
 * accumulate.
 */
export const MAX_DIAL_WAITERS = 4096;

/** Gets the connection, or the error. */
export type DialWaiter<C> = (result: C | P2PError) => void;

/** A dial in progress. */
export interface Dial<T, C, H> {
  /** Calls for the same key share the dial; `undefined`: the dial is not shared. */
  readonly key: string | undefined;
  readonly target: T;
  /** The transport's handle of the dial. */
  readonly handle: H;
  /** In order. Bounded by `MAX_DIAL_WAITERS`. */
  readonly waiters: Set<DialWaiter<C>>;
  /** The peer that answered, if it is not the expected one. */
  found: PeerId | undefined;
}

/**
 * Dials by target: calls for the same target share one. Bounded by the transport's handshakes.
 *
 * @typeParam T - what is dialled.
 * @typeParam C - the connection that waiters get.
 * @typeParam H - the transport's handle of a dial: its connection object, or what aborts it.
 */
export class DialTable<T, C, H> {
  readonly #byKey = new Map<string, Dial<T, C, H>>();
  readonly #byHandle = new Map<H, Dial<T, C, H>>();
  readonly #abandoned: ((dial: Dial<T, C, H>) => void) | undefined;

  /** @param abandoned - called when the last waiter has cancelled. @default the dial continues */
  constructor(abandoned?: (dial: Dial<T, C, H>) => void) {
    this.#abandoned = abandoned;
  }

  /** Dials in progress. */
  get size(): number {
    return this.#byHandle.size;
  }

  /** The dials in progress, oldest first. */
  values(): Iterable<Dial<T, C, H>> {
    return this.#byHandle.values();
  }

  /** The dial that calls for this key share. */
  get(key: string): Dial<T, C, H> | undefined {
    return this.#byKey.get(key);
  }

  /** The dial with this handle. */
  of(handle: H): Dial<T, C, H> | undefined {
    return this.#byHandle.get(handle);
  }

  /** Adds a dial that has begun. */
  add(key: string | undefined, target: T, handle: H): Dial<T, C, H> {
    const dial: Dial<T, C, H> = { key, target, handle, waiters: new Set(), found: undefined };
    if (key !== undefined) this.#byKey.set(key, dial);
    this.#byHandle.set(handle, dial);
    return dial;
  }

  /**
   * Waits for a dial. Cancelling one waiter does not affect the others.
   *
   * @param what - for error messages: `<PeerID>@127.0.0.1:5000`.
   * @returns a function that cancels the wait
   */
  join(dial: Dial<T, C, H>, what: string, waiter: DialWaiter<C>, maxWaiters: number = MAX_DIAL_WAITERS): () => void {
    if (dial.waiters.size >= maxWaiters) {
      const full = `Cannot reach ${what}: ${maxWaiters} calls wait for it already`;
      waiter(new P2PError('limit_exceeded', 'local', full, { sent: 'no' }));
      return () => {};
    }
    const own: DialWaiter<C> = (result) => waiter(result);
    dial.waiters.add(own);
    return () => {
      if (!dial.waiters.delete(own) || dial.waiters.size > 0) return;
      if (this.#byHandle.get(dial.handle) === dial) this.#abandoned?.(dial);
    };
  }

  /** Removes and returns the dial with this handle: no further call can join it. */
  take(handle: H): Dial<T, C, H> | undefined {
    const dial = this.#byHandle.get(handle);
    if (dial === undefined) return undefined;
    this.#byHandle.delete(handle);
    if (dial.key !== undefined && this.#byKey.get(dial.key) === dial) this.#byKey.delete(dial.key);
    return dial;
  }

  /** Calls all waiters, in order. */
  settle(dial: Dial<T, C, H>, result: C | P2PError): void {
    const waiters = [...dial.waiters];
    dial.waiters.clear();
    for (const waiter of waiters) waiter(result);
  }

  /** Removes all dials and calls their waiters. */
  clear(error: P2PError): void {
    const dials = [...this.#byHandle.values()];
    this.#byHandle.clear();
    this.#byKey.clear();
    for (const dial of dials) this.settle(dial, error);
  }
}
