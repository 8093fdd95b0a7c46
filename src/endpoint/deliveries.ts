/** Messages to peers, and what becomes of them: `sent` and `unsent`, where somebody listens. */

import { type Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { markHandled } from '../runtime/promises.ts';
import { type Waits } from '../runtime/waits.ts';
import { type DialWaiter } from '../sessions/dials.ts';
import { type Tracking } from './connection-hooks.ts';
import { type SendToOptions } from './endpoint.ts';
import { type EventSubscribers } from './events.ts';
import { type LiveConnection } from './live-connection.ts';
import { type OutgoingMessage } from './message.ts';

/** How long a send may take, connecting included, unless the call says otherwise. */
const SEND_TIMEOUT_MS = 30_000;

/** One message, until it is known what became of it. */
class Delivery<A extends Addr> implements Tracking {
  readonly #events: EventSubscribers<A>;
  readonly #message: OutgoingMessage;
  readonly #token: unknown;
  #began = false;
  #told = false;

  constructor(events: EventSubscribers<A>, message: OutgoingMessage, token: unknown) {
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
    const [message, token] = [this.#message, this.#token];
    if (error === undefined) this.#events.emit({ type: 'sent', message, token });
    else this.#events.emit({ type: 'unsent', message, token, error });
  }

  /** The call has failed. What is under way is left to its fate, which is told when it is known. */
  giveUp(error: unknown): void {
    if (this.#began) return;
    const why = 'Cannot send: given up before anything was sent';
    this.settle(P2PError.is(error) ? error : new P2PError('refused', 'local', why, { sent: 'no', cause: error }));
  }
}

export class Deliveries<A extends Addr> {
  readonly #waits: Waits;
  readonly #events: EventSubscribers<A>;

  constructor(waits: Waits, events: EventSubscribers<A>) {
    this.#waits = waits;
    this.#events = events;
  }

  /** Sends, once or again and again, and tells what becomes of the message; nothing is kept where nobody listens. */
  deliver(
    message: OutgoingMessage,
    token: unknown,
    send: (tracking: Tracking | undefined) => Promise<void>,
  ): Promise<void> {
    if (!this.#events.heard) return markHandled(send(undefined));
    const delivery = new Delivery(this.#events, message, token);
    const sent = send(delivery);
    sent.catch((error: unknown) => delivery.giveUp(error));
    return sent;
  }

  /**
   * Sends once a connection is there; in order, where several wait for the same.
   *
   * @param to - for error messages.
   * @param dial - begins to connect, and answers what gives up waiting.
   */
  sendWhenConnected(
    to: string,
    message: OutgoingMessage,
    options: SendToOptions,
    tracking: Tracking | undefined,
    dial: (waiter: DialWaiter<LiveConnection<A>>) => () => void,
  ): Promise<void> {
    const what = (): string => `send to ${to}`;
    let began = false;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    const wait = { what, call: options, defaultTimeoutMs: SEND_TIMEOUT_MS, sent };
    return this.#waits.wait<void>(wait, ({ resolve, reject }) =>
      dial((result) => {
        if (result instanceof P2PError) {
          reject(result);
          return;
        }
        began = true;
        result.sendTracked(message, options, tracking).then(resolve, reject);
      }),
    );
  }
}
