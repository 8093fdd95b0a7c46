/** Messages to peers, on the connection that is there or once one is made. */

import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { markHandled, rejection } from '../runtime/promises.ts';
import { checkCall, type Waits } from '../runtime/waits.ts';
import type { Tracking } from './connection-hooks.ts';
import type { Connector } from './connector.ts';
import { Delivery } from './delivery.ts';
import type { PeerTarget, SendToOptions } from './endpoint.ts';
import type { EventSubscribers } from './events.ts';
import type { OutgoingMessage } from './message.ts';
import type { MessageFormat } from './message-format.ts';
import { type PeerLookup, peerName } from './peer-lookup.ts';
import type { SendOptions } from './stream.ts';
import { describeTarget } from './targets.ts';

/** How long a send may take, connecting included, unless the call says otherwise. */
const SEND_TIMEOUT_MS = 30_000;

/** What deliveries need of their endpoint. */
export interface DeliveriesParts<A extends Addr, M> {
  readonly format: MessageFormat<M>;
  readonly waits: Waits;
  readonly events: EventSubscribers<A, M>;
  readonly lookup: PeerLookup<A, M>;
  readonly connector: Connector<A, M>;
  /** The endpoint's `closed` error for something attempted, once it is closed. */
  closedError(what: string): P2PError | undefined;
}

export class Deliveries<A extends Addr, M> {
  readonly #parts: DeliveriesParts<A, M>;

  constructor(parts: DeliveriesParts<A, M>) {
    this.#parts = parts;
  }

  /** Connects where that is needed, once or again and again. */
  send(peer: PeerTarget<A, M>, message: OutgoingMessage<M>, options: SendToOptions): Promise<void> {
    this.#parts.format.check(message);
    checkCall(options);
    const { connector } = this.#parts;
    const tries = connector.tries(options);
    return this.#deliver(message, options.token, (tracking) =>
      connector.retrying(tries, options.signal, () => this.#sendOnce(peer, message, options, tracking)),
    );
  }

  /** Uses a connection that is there. */
  trySend(
    peer: PeerTarget<A, M>,
    message: OutgoingMessage<M>,
    options: SendOptions & { readonly token?: unknown },
  ): Promise<void> {
    this.#parts.format.check(message);
    checkCall(options);
    const connection = this.#parts.lookup.connectionOf(peer);
    return this.#deliver(message, options.token, (tracking) => {
      if (connection !== undefined) return connection.outgoing.send(message, options, tracking);
      const what = `try to send to ${peerName(peer)}`;
      const why = `Cannot ${what}: there is no connection; send() makes one`;
      return rejection(this.#parts.closedError(what) ?? new P2PError('unreachable', 'local', why, { sent: 'no' }));
    });
  }

  /** Sends, and emits what becomes of the message; nothing is kept without a listener. */
  #deliver(
    message: OutgoingMessage<M>,
    token: unknown,
    send: (tracking: Tracking | undefined) => Promise<void>,
  ): Promise<void> {
    const { events } = this.#parts;
    if (!events.heard) return markHandled(send(undefined));
    const delivery = new Delivery(events, message, token);
    const sent = send(delivery);
    sent.catch((error: unknown) => delivery.giveUp(error));
    return sent;
  }

  #sendOnce(
    peer: PeerTarget<A, M>,
    message: OutgoingMessage<M>,
    options: SendToOptions,
    tracking: Tracking | undefined,
  ): Promise<void> {
    const { lookup, connector, waits } = this.#parts;
    const connection = lookup.connectionOf(peer);
    if (connection !== undefined) return connection.outgoing.send(message, options, tracking);
    const target = lookup.targetOfPeer(peer, options.expect);
    if (target instanceof P2PError) return rejection(target);
    // Messages that wait for the same peer share a dial, with a pool and without.
    const shared = { ...options, fresh: false };
    const what = (): string => `send to ${describeTarget(target)}`;
    let began = false;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    const wait = { what, call: options, defaultTimeoutMs: SEND_TIMEOUT_MS, sent };
    return waits.wait<void>(wait, ({ resolve, reject }) =>
      connector.dial(target, shared, (result) => {
        if (result instanceof P2PError) {
          reject(result);
          return;
        }
        began = true;
        result.outgoing.send(message, options, tracking).then(resolve, reject);
      }),
    );
  }
}
