/** One message of `endpoint.send`, until it is known what became of it. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { Tracking } from './connection-hooks.ts';
import type { EventSubscribers } from './events.ts';
import type { OutgoingMessage } from './message.ts';

/** Emits `sent` or `unsent`, once. */
export class Delivery<A extends Addr, M> implements Tracking {
  readonly #events: EventSubscribers<A, M>;
  readonly #message: OutgoingMessage<M>;
  readonly #token: unknown;
  #began = false;
  #told = false;

  constructor(events: EventSubscribers<A, M>, message: OutgoingMessage<M>, token: unknown) {
    this.#events = events;
    this.#message = message;
    this.#token = token;
  }

  begin(): void {
    this.#began = true;
  }

  settle(error?: P2PError): void {
    if (this.#told) return;
    this.#told = true;
    const message = this.#message;
    const token = this.#token;
    if (error === undefined) this.#events.emit({ type: 'sent', message, token });
    else this.#events.emit({ type: 'unsent', message, token, error });
  }

  /** The call has failed. What is under way goes on, and is told of when its end is known. */
  giveUp(error: unknown): void {
    if (this.#began) return;
    const why = 'Cannot send: given up before anything was sent';
    this.settle(P2PError.is(error) ? error : new P2PError('refused', 'local', why, { sent: 'no', cause: error }));
  }
}
