/** A connection in use: joins the sending and the receiving half, and ends once. */

import { type Side } from '../core/accept.ts';
import { type Addr, ipOf } from '../core/addr.ts';
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
import { type QuicClosed } from '../protocols/quic/closed.ts';
import { checkCode, type QuicStream, type StreamKind } from '../protocols/quic/stream.ts';
import { IdleWatch } from '../quic/idle-watch.ts';
import { type StreamHandler } from '../quic/quic-driver.ts';
import { type PeerConnection } from '../sessions/connection-table.ts';
import { sideOf } from './admission.ts';
import { CLOSE_CODE } from './codes.ts';
import { type ConnectionHooks, type Peer, type Tracking } from './connection-hooks.ts';
import {
  type CloseOptions,
  type Connection,
  type ConnectionClosed,
  type OpenStreamOptions,
  type RequestOptions,
  type SendOptions,
} from './connection.ts';
import { ConnectionStreams } from './connection-streams.ts';
import { closedOf, connectionError, streamError } from './errors.ts';
import { type Feed, type FeedOptions, LiveFeed } from './feed.ts';
import { ignore, STREAM_TIMEOUT_MS, type StreamHooks } from './live-streams.ts';
import { StreamBudget } from './stream-budget.ts';
import { type IncomingMessage } from './incoming-message.ts';
import { type OutgoingMessage, type ReceivedMessage } from './message.ts';
import { type Prepared, prepareMessage, refusal } from './prepared.ts';
import { promptly } from './prompt-ack.ts';
import { Receiver } from './receiver.ts';
import { maxResponseOf, Requests } from './requests.ts';
import { Sender, type Settle } from './sender.ts';
import { type BiStream, type IncomingStream, type SendStream } from './stream.ts';

export class LiveConnection<A extends Addr> implements Connection<A>, PeerConnection, StreamHandler {
  readonly id: string;
  readonly connection: QuicConnection;
  readonly sinceMs: number;
  /** Dialled with `fresh`: to be left alone by those that share. */
  readonly isExclusive: boolean;
  readonly #hooks: ConnectionHooks<LiveConnection<A>>;
  readonly #who: Peer;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #streams: ConnectionStreams;
  readonly #ended = Promise.withResolvers<ConnectionClosed>();
  readonly #requests: Requests;
  /** Iterators over messages, and over bodies. Bounded by those who iterate. */
  readonly #messageFeeds = new Set<LiveFeed<IncomingMessage<Connection<A>>>>();
  readonly #bodyFeeds = new Set<LiveFeed<IncomingStream<Connection<A>>>>();
  /** Told when something is acknowledged. Bounded by the drains under way. */
  readonly #drains = new Set<() => void>();
  readonly #idle: IdleWatch;
  #addr: A;
  #closed: ConnectionClosed | undefined;
  #lossTold = false;

  constructor(
    hooks: ConnectionHooks<LiveConnection<A>>,
    connection: QuicConnection,
    who: Peer & { readonly number: number; readonly fresh: boolean; readonly addr: A },
  ) {
    this.#hooks = hooks;
    this.connection = connection;
    this.#who = who;
    this.isExclusive = who.fresh;
    this.#idle = new IdleWatch(connection);
    this.sinceMs = hooks.nowMs();
    this.#addr = who.addr;
    this.id = `${who.addr.text}#${who.number}`;
    const { framing, limits, waits } = hooks;
    this.#sender = new Sender(
      {
        scheduleFlush: () => hooks.scheduleFlush(),
        later: (act) => hooks.later(act),
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
      memory: new StreamBudget(limits.maxConnectionBytes, hooks.memory),
      nowMs: () => hooks.nowMs(),
      scheduleFlush: () => hooks.scheduleFlush(),
      wake: () => this.#wake(),
      acknowledge: promptly(connection, (act) => hooks.later(act)),
      welcomed: () => hooks.welcomed(this),
      dropped: (fault) => hooks.dropped(fault),
    });
    const streamHooks: StreamHooks = {
      framing,
      waits,
      sender: this.#sender,
      maxMessageBytes: limits.maxMessageBytes,
      scheduleFlush: () => hooks.scheduleFlush(),
      later: (act) => hooks.later(act),
      countSent: (bytes, further) => hooks.countSent(bytes, further),
      countReceived: (bytes, further) => hooks.countReceived(bytes, further),
      ended: (what, sent) => this.#error(what, sent),
    };
    this.#streams = new ConnectionStreams(streamHooks, this.id, () => this.#checkOver());
    this.#requests = new Requests(streamHooks, this.id);
  }

  get remoteAddr(): A {
    return this.#addr;
  }

  get side(): Side {
    return sideOf(this.connection);
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

  get place(): number {
    return this.connection.address;
  }

  get host(): string {
    return ipOf(this.#addr) ?? this.#addr.text;
  }

  get idleSinceMs(): number | undefined {
    return this.#idle.since(this.busy, this.#hooks.nowMs());
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

  /** Whether something is under way on it: streams that are not over, requests that wait for their reply among them, or what is not taken. */
  get busy(): boolean {
    const { streams } = this.connection;
    return (
      !this.#sender.acknowledged ||
      this.#receiver.busy ||
      this.#streams.reading > 0 ||
      streams[Symbol.iterator]().next().done !== true
    );
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
    const told = this.#hooks.waits.wait<void>(wait, ({ resolve, reject }) => {
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
    const maxResponseBytes = maxResponseOf(options, this.#hooks.limits.maxMessageBytes);
    const prepared = this.#prepare(message, options, 'request from');
    return prepared instanceof Promise ? prepared : this.#requests.begin(prepared, maxResponseBytes, options);
  }

  openUni(options?: OpenStreamOptions): Promise<SendStream> {
    return this.#streams.openUni(options);
  }

  openBi(options?: OpenStreamOptions): Promise<BiStream> {
    return this.#streams.openBi(options);
  }

  messages(options?: FeedOptions): Feed<IncomingMessage<Connection<A>>> {
    const feed = new LiveFeed<IncomingMessage<Connection<A>>>(
      {
        what: `messages of ${this.id}`,
        waits: this.#hooks.waits,
        take: () => this.takeMessage(),
        ended: () => this.#messagesEnded(),
        left: (left) => {
          this.#messageFeeds.delete(left);
          this.#hooks.wake(this);
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
        waits: this.#hooks.waits,
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
    return this.#hooks.waits.wait<void>({ what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
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
    this.#hooks.poll();
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
    this.#hooks.countReceived(message.payload.length);
    if (this.#closed !== undefined) this.#hooks.taken(this);
    this.#checkOver();
    const reply = this.#streams.replyOn(stream);
    return { ...message, connection: this, stream: reply?.id ?? this.#streams.idOf(stream), reply };
  }

  handleOpened(stream: QuicStream): void {
    this.#receiver.handleOpened(stream);
  }

  handleReadable(stream: QuicStream): void {
    if (this.#receiver.handleReadable(stream)) return;
    this.#requests.handleReadable(stream);
    this.#streams.wake(stream);
  }

  handleWritable(stream: QuicStream): void {
    this.#sender.handleWritable(stream);
  }

  handleAcknowledged(stream: QuicStream): void {
    this.#sender.handleAcknowledged(stream);
  }

  handleStopped(stream: QuicStream): void {
    this.#sender.handleStopped(stream);
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
    this.#receiver.expire(this.#hooks.nowMs(), timeoutMs);
  }

  /** The connection is over. */
  handleClosed(closed: QuicClosed): void {
    this.#closed = closedOf(closed);
    const error = (sent: 'no' | 'maybe'): P2PError => this.#error(`reach ${this.id}`, sent)!;
    this.#sender.handleClosed(error);
    this.#requests.handleClosed();
    this.#receiver.handleClosed(closed.by === 'local' || closed.by === 'engine_failure');
    this.#streams.wakeAll();
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
    const prepared = prepareMessage(this.#hooks, message, options);
    const what = (): string => `${verb} ${this.id}`;
    if (this.#closed !== undefined) return rejection(this.#error(what(), 'no'));
    if (options?.signal?.aborted === true) return rejection(options.signal.reason);
    const refused = refusal(this.#hooks, prepared, this.#sender.full, what);
    return refused === undefined ? prepared : rejection(refused);
  }

  #takeBody(): IncomingStream<Connection<A>> | undefined {
    const reader = this.#receiver.takeBody();
    if (reader === undefined) return undefined;
    const receive = this.#streams.receiveStream(reader);
    return { connection: this, id: receive.id, receive, send: this.#streams.replyOn(reader.stream) };
  }

  #wake(): void {
    for (const feed of this.#messageFeeds) feed.wake();
    for (const feed of this.#bodyFeeds) feed.wake();
    this.#hooks.wake(this);
  }

  /** After the end: whether all that has come was taken, and nothing has to be kept any more. */
  #checkOver(): void {
    if (this.#closed !== undefined && this.#receiver.over && this.#streams.reading === 0) this.#hooks.over(this);
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
