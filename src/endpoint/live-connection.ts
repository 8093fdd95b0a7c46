/** A connection in use: joins the sending and the receiving half, and ends once. */

import { type Addr } from '../core/addr.ts';
import { type Bytes } from '../base/bytes.ts';
import { type P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type PublicKey } from '../core/secure.ts';
import { type CallOptions } from '../core/swarm.ts';
import { PendingBudget } from '../swarm-kit/pending-budget.ts';
import { markHandled, RESOLVED, rejection } from '../runtime/promises.ts';
import { checkCall } from '../runtime/waits.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { type ConnectionStats } from '../protocols/quic/engine.ts';
import { type QuicClosed } from '../protocols/quic/events.ts';
import { checkCode, type QuicStream, type StreamKind } from '../protocols/quic/stream.ts';
import { type Rival } from '../quic/rivalry.ts';
import { CLOSE_CODE } from './codes.ts';
import { type ConnectionHost, type Peer, type Tracking } from './connection-host.ts';
import {
  type CloseOptions,
  type Connection,
  type ConnectionClosed,
  type OpenStreamOptions,
  type RequestOptions,
  type SendOptions,
} from './connection.ts';
import { closedOf, connectionError, streamError } from './errors.ts';
import { type Feed, type FeedOptions, LiveFeed } from './feed.ts';
import {
  ignore,
  LiveReceiveStream,
  LiveSendStream,
  STREAM_TIMEOUT_MS,
  type StreamHost,
  streamIdOf,
} from './live-streams.ts';
import { MemoryBudget } from './memory-budget.ts';
import { type IncomingMessage, type OutgoingMessage, type ReceivedMessage } from './message.ts';
import { type Prepared, prepareMessage, priorityOf, refusal } from './prepared.ts';
import { promptly } from './prompt-ack.ts';
import { Receiver } from './receiver.ts';
import { maxResponseOf, Requests } from './requests.ts';
import { Sender, type Settle } from './sender.ts';
import { type BiStream, type IncomingStream, type SendStream, type StreamId } from './stream.ts';
import { StreamReader } from './stream-reader.ts';

export class LiveConnection<A extends Addr> implements Connection<A>, Rival {
  readonly id: string;
  readonly connection: QuicConnection;
  readonly sinceMs: number;
  /** Dialled with `fresh`: to be left alone by those that share. */
  readonly fresh: boolean;
  readonly #host: ConnectionHost<A>;
  readonly #who: Peer;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #streams: StreamHost;
  readonly #ended = Promise.withResolvers<ConnectionClosed>();
  readonly #requests: Requests;
  /** Streams that somebody reads. Bounded by the stream limits. */
  readonly #reading = new Map<QuicStream, LiveReceiveStream>();
  /** Our sides of the peer's streams, so that messages of one stream share one. They go with their streams. */
  readonly #replies = new WeakMap<QuicStream, LiveSendStream>();
  /** Iterators over messages, and over bodies. Bounded by those who iterate. */
  readonly #messageFeeds = new Set<LiveFeed<IncomingMessage<Connection<A>>>>();
  readonly #bodyFeeds = new Set<LiveFeed<IncomingStream<Connection<A>>>>();
  /** Told when something is acknowledged. Bounded by the drains under way. */
  readonly #drains = new Set<() => void>();
  #addr: A;
  #closed: ConnectionClosed | undefined;
  #lossTold = false;

  constructor(
    host: ConnectionHost<A>,
    connection: QuicConnection,
    who: Peer & { readonly number: number; readonly fresh: boolean; readonly addr: A },
  ) {
    this.#host = host;
    this.connection = connection;
    this.#who = who;
    this.fresh = who.fresh;
    this.sinceMs = host.nowMs();
    this.#addr = who.addr;
    this.id = `${who.addr.text}#${who.number}`;
    const { framing, limits, waits } = host;
    this.#sender = new Sender(
      {
        kick: () => host.kick(),
        later: (act) => host.later(act),
        settled: () => this.#settled(),
        stopped: (code) => streamError(`send to ${this.id}`, code),
      },
      connection,
      limits.maxQueuedMessages,
    );
    this.#receiver = new Receiver({
      framing,
      maxMessageBytes: limits.maxMessageBytes,
      pending: new PendingBudget(limits),
      memory: new MemoryBudget(limits.maxConnectionBytes, host.memory),
      nowMs: () => host.nowMs(),
      kick: () => host.kick(),
      wake: () => this.#wake(),
      acknowledge: promptly(connection, (act) => host.later(act)),
      welcomed: () => host.welcomed(this),
      dropped: (fault) => host.dropped(fault),
    });
    this.#streams = {
      framing,
      waits,
      sender: this.#sender,
      maxMessageBytes: limits.maxMessageBytes,
      kick: () => host.kick(),
      later: (act) => host.later(act),
      countSent: (bytes, further) => host.countSent(bytes, further),
      countReceived: (bytes, further) => host.countReceived(bytes, further),
      ended: (what, sent) => this.#error(what, sent),
    };
    this.#requests = new Requests(this.#streams, this.id);
  }

  get remoteAddr(): A {
    return this.#addr;
  }

  get role(): 'dialler' | 'acceptor' {
    return this.connection.role === 'client' ? 'dialler' : 'acceptor';
  }

  get authenticated(): boolean {
    return this.#who.authenticated;
  }

  get peerId(): PeerId | undefined {
    return this.#who.id;
  }

  /** For those who choose between connections; only asked of those that have one. */
  get peer(): PeerId {
    return this.#who.id!;
  }

  get publicKey(): PublicKey | undefined {
    return this.#who.publicKey;
  }

  get certificates(): readonly Bytes[] {
    return this.connection.peerChain;
  }

  get alpn(): string | undefined {
    return this.connection.alpn;
  }

  get closeReason(): ConnectionClosed | undefined {
    return this.#closed;
  }

  get closed(): Promise<ConnectionClosed> {
    return this.#ended.promise;
  }

  get stats(): ConnectionStats | undefined {
    return this.connection.stats();
  }

  /** Whether something is under way on it. */
  get busy(): boolean {
    return !this.#sender.acknowledged || this.#requests.size > 0 || this.#receiver.busy || this.#reading.size > 0;
  }

  /** Whether its messages are taken here and not with those of all. */
  get ownReader(): boolean {
    return this.#messageFeeds.size > 0;
  }

  send(message: OutgoingMessage, options?: SendOptions): Promise<void> {
    return this.sendTracked(message, options);
  }

  /** Sends, and tells when it is acknowledged, whatever the caller waits for; nothing is told of what rejects before. */
  sendTracked(message: OutgoingMessage, options?: SendOptions, tracking?: Tracking): Promise<void> {
    const prepared = this.#prepare(message, options, 'send to');
    if (prepared instanceof Promise) return prepared;
    const { sending, size, priority } = prepared;
    const wantsAck = options?.acked ?? false;
    const sender = this.#sender;
    const what = (): string => `send to ${this.id}`;
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
      this.#host.countSent(size);
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
    const told = this.#host.waits.wait<void>(wait, ({ resolve, reject }) => {
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

  request(message: OutgoingMessage, options?: RequestOptions): Promise<ReceivedMessage> {
    const maxResponseBytes = maxResponseOf(options, this.#host.limits.maxMessageBytes);
    const prepared = this.#prepare(message, options, 'request from');
    return prepared instanceof Promise ? prepared : this.#requests.begin(prepared, maxResponseBytes, options);
  }

  openUni(options?: OpenStreamOptions): Promise<SendStream> {
    return this.#open('uni', options, (stream) => this.#sendStream(stream).announced());
  }

  openBi(options?: OpenStreamOptions): Promise<BiStream> {
    return this.#open('bidi', options, (stream) => {
      const receive = this.#receiveStream(new StreamReader(stream, this.#host.framing));
      return { id: receive.id, send: this.#sendStream(stream).announced(), receive };
    });
  }

  messages(options?: FeedOptions): Feed<IncomingMessage<Connection<A>>> {
    const feed = new LiveFeed<IncomingMessage<Connection<A>>>(
      {
        what: `messages of ${this.id}`,
        waits: this.#host.waits,
        take: () => this.takeMessage(),
        ended: () => this.#messagesEnded(),
        left: (left) => {
          this.#messageFeeds.delete(left);
          this.#host.wake(this);
        },
      },
      options,
    );
    this.#messageFeeds.add(feed);
    return feed;
  }

  streams(options?: FeedOptions): Feed<IncomingStream<Connection<A>>> {
    const feed = new LiveFeed<IncomingStream<Connection<A>>>(
      {
        what: `streams of ${this.id}`,
        waits: this.#host.waits,
        take: () => this.#takeBody(),
        ended: () => (this.#closed === undefined ? undefined : {}),
        left: (left) => this.#bodyFeeds.delete(left),
      },
      options,
    );
    this.#bodyFeeds.add(feed);
    return feed;
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    const what = (): string => `drain ${this.id}`;
    if (this.#sender.acknowledged && this.#closed === undefined) return RESOLVED;
    return this.#host.waits.wait<void>({ what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
      const look = (): void => {
        const error = this.#error(what(), 'maybe');
        if (error !== undefined) wait.reject(error);
        else if (this.#sender.acknowledged) wait.resolve();
      };
      this.#drains.add(look);
      look();
      return () => this.#drains.delete(look);
    });
  }

  close(options: CloseOptions = {}): Promise<void> {
    const code = checkCode(options.code ?? CLOSE_CODE.NORMAL, 'code');
    this.connection.close(code, options.reason ?? 'closed');
    this.#host.poll();
    return this.closed.then(() => undefined);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Messages that wait to be taken. */
  get unread(): number {
    return this.#receiver.unread;
  }

  /** The next message, for those who iterate. */
  takeMessage(): IncomingMessage<Connection<A>> | undefined {
    const unread = this.#receiver.take();
    if (unread === undefined) return undefined;
    const { message, stream } = unread;
    this.#host.countReceived(message.payload.length);
    if (this.#closed !== undefined) this.#host.taken(this);
    this.#checkOver();
    const reply = stream.kind === 'bidi' ? this.#replyOn(stream) : undefined;
    const id = reply?.id ?? this.#idOf(stream);
    return { ...message, connection: this, stream: id, reply };
  }

  /** Takes what the transport tells of a stream of ours or the peer's. */
  handleStream(type: 'stream' | 'readable' | 'writable' | 'acknowledged' | 'stopped', stream: QuicStream): void {
    if (type === 'stream') this.#receiver.handleOpened(stream);
    else if (type === 'writable') this.#sender.handleWritable(stream);
    else if (type === 'acknowledged') this.#sender.handleAcknowledged(stream);
    else if (type === 'stopped') this.#sender.handleStopped(stream);
    else if (!this.#receiver.handleReadable(stream)) {
      this.#requests.handleReadable(stream);
      this.#reading.get(stream)?.wake();
    }
  }

  /** The peer is elsewhere now. */
  handleMoved(addr: A): void {
    this.#addr = addr;
  }

  handleAvailable(kind: StreamKind): void {
    this.#sender.handleAvailable(kind);
  }

  /** Resets streams of the peer's that stand still. */
  expire(timeoutMs: number): void {
    this.#receiver.expire(this.#host.nowMs(), timeoutMs);
  }

  /** The connection is over. */
  handleClosed(closed: QuicClosed): void {
    this.#closed = closedOf(closed);
    const error = (sent: 'no' | 'maybe'): P2PError => this.#error(`reach ${this.id}`, sent)!;
    this.#sender.handleClosed(error);
    this.#requests.handleClosed();
    this.#receiver.handleClosed(closed.by === 'local' || closed.by === 'engine_failure');
    for (const reading of this.#reading.values()) reading.wake();
    for (const feed of this.#bodyFeeds) feed.wake();
    this.#settled();
    this.#ended.resolve(this.#closed);
    this.#checkOver();
  }

  /** Drops what was not taken. */
  forget(): void {
    this.#receiver.handleClosed(true);
    this.connection.forget();
  }

  /** What is to be written, or why nothing is. */
  #prepare(
    message: OutgoingMessage,
    options: SendOptions | RequestOptions | undefined,
    verb: string,
  ): Prepared | Promise<never> {
    const prepared = prepareMessage(this.#host, message, options);
    const what = (): string => `${verb} ${this.id}`;
    if (this.#closed !== undefined) return rejection(this.#error(what(), 'no'));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const refused = refusal(this.#host, prepared, this.#sender.full, what);
    return refused === undefined ? prepared : rejection(refused);
  }

  #open<T>(kind: StreamKind, options: OpenStreamOptions | undefined, make: (stream: QuicStream) => T): Promise<T> {
    checkCall(options);
    const priority = priorityOf(options?.priority);
    const what = (): string => `open a stream to ${this.id}`;
    const ended = this.#error(what(), 'no');
    if (ended !== undefined) return rejection(ended);
    const call = { what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS, sent: (): 'no' => 'no' };
    return this.#host.waits.wait<T>(call, (wait) => {
      const use = (stream: QuicStream): void => wait.resolve(make(stream));
      const now = this.#sender.open(kind, priority);
      if (now === undefined) return this.#sender.waitFor(kind, { priority, use, fail: wait.reject });
      use(now);
      return undefined;
    });
  }

  #sendStream(stream: QuicStream): LiveSendStream {
    return new LiveSendStream(stream, this.#idOf(stream), this.#streams);
  }

  #receiveStream(reader: StreamReader): LiveReceiveStream {
    const { stream } = reader;
    const receive = new LiveReceiveStream(reader, this.#idOf(stream), this.#streams, () => {
      this.#reading.delete(stream);
      this.#checkOver();
    });
    this.#reading.set(stream, receive);
    return receive;
  }

  #replyOn(stream: QuicStream): LiveSendStream {
    let reply = this.#replies.get(stream);
    if (reply === undefined) {
      reply = this.#sendStream(stream);
      this.#replies.set(stream, reply);
    }
    return reply;
  }

  #takeBody(): IncomingStream<Connection<A>> | undefined {
    const reader = this.#receiver.takeBody();
    if (reader === undefined) return undefined;
    const receive = this.#receiveStream(reader);
    const send = reader.stream.kind === 'bidi' ? this.#replyOn(reader.stream) : undefined;
    return { connection: this, id: receive.id, receive, send };
  }

  #idOf(stream: QuicStream): StreamId {
    return streamIdOf(stream, this.id);
  }

  #wake(): void {
    for (const feed of this.#messageFeeds) feed.wake();
    for (const feed of this.#bodyFeeds) feed.wake();
    this.#host.wake(this);
  }

  /** After the end: whether all that has come was taken, and nothing has to be kept any more. */
  #checkOver(): void {
    if (this.#closed !== undefined && this.#receiver.over && this.#reading.size === 0) this.#host.over(this);
  }

  #settled(): void {
    for (const look of this.#drains) look();
  }

  #messagesEnded(): { readonly error?: unknown } | undefined {
    if (this.#closed === undefined || !this.#receiver.over) return undefined;
    if (this.#closed.benign || this.#lossTold) return {};
    this.#lossTold = true;
    return { error: connectionError(`read ${this.id}`, this.#closed, 'no') };
  }

  #error(what: string, sent: 'no' | 'maybe'): P2PError | undefined {
    return this.#closed === undefined ? undefined : connectionError(what, this.#closed, sent);
  }
}
