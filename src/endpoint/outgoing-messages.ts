/** Messages of a connection, each sent on a stream of its own. */

import type { P2PError } from '../core/errors.ts';
import { markHandled, RESOLVED, rejection } from '../runtime/promises.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import type { Tracking } from './connection-hooks.ts';
import type { OutgoingMessage } from './message.ts';
import { prepareMessage } from './prepared.ts';
import type { Settle } from './sender.ts';
import type { SendOptions } from './stream.ts';
import { ignore, STREAM_TIMEOUT_MS, type StreamHooks } from './stream-hooks.ts';

export class OutgoingMessages<M> {
  readonly #hooks: StreamHooks<M>;

  constructor(hooks: StreamHooks<M>) {
    this.#hooks = hooks;
  }

  /**
   * Sends a message.
   *
   * @param tracking - told when it is acknowledged, whatever the caller waits for; told nothing of what rejects before.
   */
  send(message: OutgoingMessage<M>, options: SendOptions | undefined, tracking: Tracking | undefined): Promise<void> {
    const what = (): string => `send to ${this.#hooks.connectionId}`;
    const prepared = prepareMessage(this.#hooks, message, options, what);
    if (prepared instanceof Promise) return prepared;
    const { sending, size, priority } = prepared;
    const { sender, waits } = this.#hooks;
    const wantsAck = options?.acked ?? false;
    let failed: P2PError | undefined;
    let settle: Settle | undefined;
    const done: Settle = (error) => {
      failed = error;
      settle?.(error);
    };
    const acked: Settle | undefined =
      wantsAck || tracking !== undefined
        ? (error) => {
            if (wantsAck) done(error);
            tracking?.settle(error);
          }
        : undefined;
    const write = (stream: QuicStream): boolean => {
      tracking?.begin();
      this.#hooks.countSent(size);
      return sender.write(stream, sending, wantsAck ? ignore : done, acked) && !wantsAck;
    };
    const stream = sender.open('uni', priority);
    if (stream !== undefined) {
      if (write(stream)) return RESOLVED;
      if (failed !== undefined) return rejection(failed);
    }
    let began = stream !== undefined;
    const sent = (): 'no' | 'maybe' => (began ? 'maybe' : 'no');
    const wait = { what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS, sent };
    const told = waits.wait<void>(wait, ({ resolve, reject }) => {
      settle = (error) => (error === undefined ? resolve() : reject(error));
      if (began) return undefined;
      const use = (opened: QuicStream): void => {
        began = true;
        if (write(opened)) resolve();
      };
      return sender.waitFor('uni', { priority, use, fail: reject });
    });
    return markHandled(told);
  }
}
