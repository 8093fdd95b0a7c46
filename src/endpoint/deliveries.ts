/** Messages to peers, and what becomes of them: `sent` and `unsent`, where somebody listens. */

import { type Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { markHandled, rejection } from '../kit/rejection.ts';
import { type Waits } from '../kit/waits.ts';
import { type DialWaiter } from '../swarms/quic/dials.ts';
import { type SendOptions } from './connection.ts';
import { type SendToOptions } from './endpoint.ts';
import { type EventHub } from './events.ts';
import { type LiveConnection } from './live-connection.ts';
import { type OutgoingMessage } from './message.ts';

/** How long a send may take, connecting included, unless the call says otherwise. */
const SEND_TIMEOUT_MS = 30_000;

export class Deliveries<A extends Addr> {
  readonly #waits: Waits;
  readonly #events: EventHub<A>;

  constructor(waits: Waits, events: EventHub<A>) {
    this.#waits = waits;
    this.#events = events;
  }

  /** Sends on a connection, and tells what becomes of it. */
  sendOn(
    connection: LiveConnection<A>,
    message: OutgoingMessage,
    options: SendOptions & { readonly token?: unknown },
  ): Promise<void> {
    if (!this.#events.heard) return connection.send(message, options);
    const { token } = options;
    let told = false;
    const tell = (error?: P2PError): void => {
      if (told) return;
      told = true;
      if (error === undefined) this.#events.emit({ type: 'sent', message, token });
      else this.#events.emit({ type: 'unsent', message, token, error });
    };
    const sent = connection.sendTracked(message, options, tell);
    sent.catch((error: unknown) => {
      // Giving up waiting leaves what is under way to its fate, which is told when it is known.
      if (P2PError.is(error) && error.sent === 'no') tell(error);
    });
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
    dial: (waiter: DialWaiter<LiveConnection<A>>) => () => void,
  ): Promise<void> {
    const what = (): string => `send to ${to}`;
    let began = false;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    const wait = { what, call: options, defaultTimeoutMs: SEND_TIMEOUT_MS, sent };
    const sending = this.#waits.wait<void>(wait, ({ resolve, reject }) =>
      dial((result) => {
        if (result instanceof P2PError) {
          reject(result);
          return;
        }
        began = true;
        this.sendOn(result, message, options).then(resolve, reject);
      }),
    );
    sending.catch((error: unknown) => {
      if (began || !this.#events.heard) return;
      const failed = P2PError.is(error)
        ? error
        : new P2PError('refused', 'local', `Cannot ${what()}: given up`, { sent: 'no', cause: error });
      this.#events.emit({ type: 'unsent', message, token: options.token, error: failed });
    });
    return markHandled(sending);
  }

  /** Tells of a message that cannot be sent. */
  unsent(message: OutgoingMessage, token: unknown, error: P2PError): Promise<never> {
    this.#events.emit({ type: 'unsent', message, token, error });
    return rejection(error);
  }
}
