/** The asks in progress on a connection, in both directions. */

import type { Bytes } from '../../base/bytes.ts';
import { Fifo } from '../../base/fifo.ts';
import { IdMap } from '../../base/id-map.ts';
import type { MessageHead } from './frames.ts';
import type { Outgoing } from './send-scheduler.ts';

/** An ask of this side. */
interface Asked {
  readonly maxResponseBytes: number;
  readonly outgoing: Outgoing;
}

/** A request of the peer whose answer is not completely written. */
export interface Served {
  readonly head: MessageHead & { readonly type: 'request' };
  readonly size: number;
  answer: Outgoing | undefined;
}

/** A request to deliver. */
export interface Request {
  readonly type: 'request';
  readonly id: number;
  readonly maxResponseBytes: number;
  readonly payload: Bytes;
}

export class Asks {
  /** Bounded by the pending calls. */
  readonly #asked = new IdMap<Asked>();
  /** By ask id. Bounded by the request window. */
  readonly #served = new IdMap<Served>();
  /** Requests that wait until earlier answers are sent. Bounded by the request window. */
  #waiting = new Fifo<Request>();
  #nextId = 1;

  /** Asks of both sides. */
  get size(): number {
    return this.#asked.size + this.#served.size;
  }

  /** @param send - sends the request with this id. */
  ask(maxResponseBytes: number, send: (id: number) => Outgoing): number {
    const id = this.#nextId++;
    this.#asked.set(id, { maxResponseBytes, outgoing: send(id) });
    return id;
  }

  /** Ends an ask that was answered or cancelled. @returns its request, if it was in progress */
  settle(id: number): Outgoing | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked?.outgoing;
  }

  /**
   * The maximum bytes of the answer to this ask; `undefined` when it was cancelled, `'never'` when it never existed.
   */
  answerLimit(id: number): number | undefined | 'never' {
    if (id >= this.#nextId || id === 0) return 'never';
    return this.#asked.get(id)?.maxResponseBytes;
  }

  /** Adds a received request. @returns false when there is one with its id */
  receive(head: Served['head'], payload: Bytes): boolean {
    if (this.#served.has(head.id)) return false;
    this.#served.set(head.id, { head, size: payload.length, answer: undefined });
    this.#waiting.push({ type: 'request', id: head.id, maxResponseBytes: head.maxResponseBytes, payload });
    return true;
  }

  /** Requests that are not delivered. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** The next request to deliver. */
  nextRequest(): Request | undefined {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (this.#served.has(next.id)) return next;
    }
    return undefined;
  }

  served(id: number): Served | undefined {
    return this.#served.get(id);
  }

  /** Removes a request that is answered, or whose answer is no longer needed. */
  forget(id: number): void {
    this.#served.delete(id);
  }

  /** Removes all. @returns asks of this side with their requests, and the ids of those of the peer */
  clear(): {
    readonly asked: readonly (readonly [id: number, request: Outgoing])[];
    readonly served: readonly number[];
  } {
    const asked = this.#asked.clear().map(([id, { outgoing }]) => [id, outgoing] as const);
    const served = this.#served.clear().map(([id]) => id);
    this.#waiting = new Fifo();
    return { asked, served };
  }
}
