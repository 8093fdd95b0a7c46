/** What comes on a connection: messages, and streams of bytes, until the application has taken them. */

import { PendingBudget } from '../swarm-kit/pending-budget.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import type { QuicStream } from '../protocols/quic/stream.ts';
import type { ConnectionHooks } from './connection-hooks.ts';
import type { ConnectionClosed } from './connection.ts';
import type { ConnectionStreams } from './connection-streams.ts';
import { connectionError } from './errors.ts';
import { type Feed, type FeedOptions, Feeds } from './feed.ts';
import { Inbox } from './inbox.ts';
import type { IncomingMessage } from './incoming-message.ts';
import { promptly } from './prompt-ack.ts';
import { Receiver } from './receiver.ts';
import type { IncomingStream } from './stream.ts';
import { StreamBudget } from './stream-budget.ts';

/** What an `Incoming` is made of. */
export interface IncomingParts<C, M> {
  readonly hooks: ConnectionHooks<C, M>;
  /** Whose it is, and its name in messages about waits and errors. */
  readonly owner: C;
  readonly id: string;
  readonly connection: QuicConnection;
  readonly streams: ConnectionStreams<M>;
}

/**
 * @typeParam C - the connection.
 * @typeParam M - a message.
 */
export class Incoming<C, M> {
  readonly #parts: IncomingParts<C, M>;
  readonly #inbox: Inbox<IncomingMessage<C, M>, M>;
  /** Reads the streams that the peer opens. */
  readonly receiver: Receiver<M>;
  readonly #bodies: Feeds<IncomingStream<C, M>>;
  #closed: ConnectionClosed | undefined;
  #lossTold = false;

  constructor(parts: IncomingParts<C, M>) {
    const { hooks, id, owner, connection } = parts;
    const { limits, waits, format } = hooks;
    this.#parts = parts;
    const pending = new PendingBudget(limits);
    const memory = new StreamBudget(limits.maxConnectionBytes, hooks.memory);
    this.#inbox = new Inbox<IncomingMessage<C, M>, M>({
      what: `messages of ${id}`,
      waits,
      pending,
      memory,
      shared: hooks.inbox,
      taken: (message, stream) => this.#taken(message, stream),
      ended: () => this.#messagesEnded(),
    });
    this.receiver = new Receiver<M>({
      format,
      maxMessageBytes: limits.maxMessageBytes,
      inbox: this.#inbox,
      pending,
      memory,
      nowMs: () => hooks.nowMs(),
      scheduleFlush: () => hooks.scheduleFlush(),
      bodyReady: () => this.#bodies.wake(),
      acknowledge: promptly(connection, (act) => hooks.later(act)),
      welcomed: () => hooks.welcomed(owner),
      dropped: (fault) => hooks.dropped(fault),
    });
    this.#bodies = new Feeds<IncomingStream<C, M>>({
      what: `streams of ${id}`,
      waits,
      take: () => this.#takeBody(),
      ended: () => (this.#closed === undefined ? undefined : {}),
    });
  }

  messages(options: FeedOptions | undefined): Feed<IncomingMessage<C, M>> {
    return this.#inbox.iterate(options);
  }

  streams(options: FeedOptions | undefined): Feed<IncomingStream<C, M>> {
    return this.#bodies.iterate(options);
  }

  /** Resets streams of the peer's that stand still. */
  expire(timeoutMs: number): void {
    this.receiver.expire(this.#parts.hooks.nowMs(), timeoutMs);
  }

  /** The connection is over. */
  handleClosed(closed: ConnectionClosed): void {
    this.#closed = closed;
    this.receiver.handleClosed(closed.by === 'local' || closed.by === 'engine_failure');
  }

  /** Drops what was not taken. */
  forget(): void {
    this.receiver.handleClosed(true);
  }

  /** After the end: tells the endpoint once all that has come was taken, and nothing has to be kept any more. */
  checkOver(): void {
    const { hooks, owner, streams } = this.#parts;
    if (this.#closed !== undefined && this.receiver.over && streams.reading === 0) hooks.over(owner);
  }

  #taken(message: M, stream: QuicStream): IncomingMessage<C, M> {
    const { hooks, owner, streams } = this.#parts;
    hooks.countReceived(hooks.format.payloadOf(message).length);
    if (this.#closed !== undefined) hooks.taken(owner);
    this.checkOver();
    const reply = streams.replyOn(stream);
    return hooks.format.incoming(message, { connection: owner, stream: reply?.id ?? streams.idOf(stream), reply });
  }

  #takeBody(): IncomingStream<C, M> | undefined {
    const { owner, streams } = this.#parts;
    const reader = this.receiver.takeBody();
    if (reader === undefined) return undefined;
    const receive = streams.receiveStream(reader);
    return { connection: owner, id: receive.id, receive, send: streams.replyOn(reader.stream) };
  }

  #messagesEnded(): { readonly error?: unknown } | undefined {
    if (this.#closed === undefined || !this.receiver.over) return undefined;
    if (this.#closed.benign || this.#lossTold) return {};
    this.#lossTold = true;
    return { error: connectionError(`read ${this.#parts.id}`, this.#closed, 'no') };
  }
}
