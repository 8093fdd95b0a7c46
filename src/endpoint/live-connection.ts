/** A connection in use: what the application calls, on the two halves of the connection. */

import type { Side } from '../core/accept.ts';
import { type Addr, ipOf } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import { RESOLVED } from '../runtime/promises.ts';
import { checkCall } from '../runtime/waits.ts';
import type { QuicConnection as EngineConnection } from '../protocols/quic/connection.ts';
import type { ConnectionStats } from '../protocols/quic/engine.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';
import { checkCode, type QuicStream, type StreamKind } from '../protocols/quic/stream.ts';
import { PREFACE } from '../protocols/endpoint/frame.ts';
import { IdleWatch } from '../quic/idle-watch.ts';
import type { StreamHandler } from '../quic/quic-driver.ts';
import type { PeerConnection } from '../sessions/connection-table.ts';
import { CLOSE_CODE } from './codes.ts';
import type { ConnectionHooks, Peer } from './connection-hooks.ts';
import type { CloseOptions, QuicConnection, ConnectionClosed, RequestOptions } from './connection.ts';
import { ConnectionStreams } from './connection-streams.ts';
import { closedOf, connectionError, streamError } from './errors.ts';
import type { Feed, FeedOptions } from './feed.ts';
import { Incoming } from './incoming.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { OutgoingMessage } from './message.ts';
import { OutgoingMessages } from './outgoing-messages.ts';
import { Requests } from './requests.ts';
import { Sender } from './sender.ts';
import type { BiStream, IncomingStream, SendOptions, SendStream } from './stream.ts';
import { STREAM_TIMEOUT_MS, type StreamHooks } from './stream-hooks.ts';

export class LiveConnection<A extends Addr, M> implements QuicConnection<A, M>, PeerConnection, StreamHandler {
  readonly id: string;
  readonly connection: EngineConnection;
  readonly sinceMs: number;
  /** Dialled with `fresh`: callers that share connections do not get it. */
  readonly isExclusive: boolean;
  readonly outgoing: OutgoingMessages<M>;
  readonly #hooks: ConnectionHooks<LiveConnection<A, M>, M>;
  readonly #who: Peer;
  readonly #sender: Sender;
  readonly #requests: Requests<M>;
  readonly #streams: ConnectionStreams<M>;
  readonly #incoming: Incoming<LiveConnection<A, M>, M>;
  readonly #ended = Promise.withResolvers<ConnectionClosed>();
  /** Called when something is acknowledged. Bounded by the drains under way. */
  readonly #drains = new Set<() => void>();
  readonly #idle: IdleWatch;
  #addr: A;
  #closed: ConnectionClosed | undefined;
  /** The peer allows no stream for the welcome yet. */
  #owesWelcome = false;

  constructor(
    hooks: ConnectionHooks<LiveConnection<A, M>, M>,
    connection: EngineConnection,
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
    const { limits, waits, format } = hooks;
    const scheduleFlush = (): void => hooks.scheduleFlush();
    const later = (act: () => void): void => hooks.later(act);
    const settled = (): void => this.#settled();
    const stopped = (code: number | undefined): P2PError => streamError(`send to ${this.id}`, code);
    this.#sender = new Sender({ scheduleFlush, later, settled, stopped }, connection, limits.maxQueuedMessages);
    const streamHooks: StreamHooks<M> = {
      connectionId: this.id,
      format,
      limits,
      waits,
      sender: this.#sender,
      scheduleFlush,
      later,
      countSent: (bytes, further) => hooks.countSent(bytes, further),
      countReceived: (bytes, further) => hooks.countReceived(bytes, further),
      ended: (what, sent) => this.#error(what, sent),
    };
    this.outgoing = new OutgoingMessages(streamHooks);
    this.#requests = new Requests(streamHooks);
    this.#streams = new ConnectionStreams(streamHooks, () => this.#incoming.checkOver());
    this.#incoming = new Incoming({ hooks, owner: this, id: this.id, connection, streams: this.#streams });
  }

  get remoteAddr(): A {
    return this.#addr;
  }

  get side(): Side {
    return this.connection.side;
  }

  get authenticated(): boolean {
    return this.#who.authenticated;
  }

  get peerId(): PeerId | undefined {
    return this.#who.id;
  }

  /** For the table of connections by peer, which holds only those with a PeerID. */
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

  /** Whether something is under way on it: streams that are not over, requests that wait for their reply among them, or messages that are not taken. */
  get busy(): boolean {
    const { streams } = this.connection;
    return (
      !this.#sender.acknowledged ||
      this.#incoming.receiver.busy ||
      this.#streams.reading > 0 ||
      streams[Symbol.iterator]().next().done !== true
    );
  }

  send(message: OutgoingMessage<M>, options?: SendOptions): Promise<void> {
    return this.outgoing.send(message, options, undefined);
  }

  request(message: OutgoingMessage<M>, options?: RequestOptions): Promise<M> {
    return this.#requests.request(message, options);
  }

  openUni(options?: CallOptions): Promise<SendStream<M>> {
    return this.#streams.openUni(options);
  }

  openBi(options?: CallOptions): Promise<BiStream<M>> {
    return this.#streams.openBi(options);
  }

  messages(options?: FeedOptions): Feed<IncomingMessage<QuicConnection<A, M>, M>> {
    return this.#incoming.messages(options);
  }

  streams(options?: FeedOptions): Feed<IncomingStream<QuicConnection<A, M>, M>> {
    return this.#incoming.streams(options);
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    const what = (): string => `drain ${this.id}`;
    if (this.#sender.acknowledged && this.#closed === undefined) return RESOLVED;
    return this.#hooks.waits.wait<void>({ what, call: options, defaultTimeoutMs: STREAM_TIMEOUT_MS }, (wait) => {
      const look = (): void => {
        const error = this.#error(what, 'maybe');
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

  /** Tells the peer that it is let in, on a stream of its own, as soon as it allows one. */
  welcome(): void {
    const stream = this.connection.open('uni');
    this.#owesWelcome = stream === undefined;
    stream?.write(Uint8Array.of(PREFACE.WELCOME), true);
  }

  handleOpened(stream: QuicStream): void {
    this.#incoming.receiver.handleOpened(stream);
  }

  handleReadable(stream: QuicStream): void {
    if (this.#incoming.receiver.handleReadable(stream)) return;
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
    if (kind === 'uni' && this.#owesWelcome) this.welcome();
    this.#sender.handleAvailable(kind);
  }

  /** Resets streams of the peer's that stand still. */
  expire(timeoutMs: number): void {
    this.#incoming.expire(timeoutMs);
  }

  /** The connection is over. */
  handleClosed(closed: QuicClosed): void {
    this.#closed = closedOf(closed);
    const what = (): string => `reach ${this.id}`;
    this.#sender.handleClosed((sent) => this.#error(what, sent)!);
    this.#requests.handleClosed();
    this.#incoming.handleClosed(this.#closed);
    this.#streams.wakeAll();
    this.#settled();
    this.#ended.resolve(this.#closed);
    this.#incoming.checkOver();
  }

  /** Drops what was not taken. */
  forget(): void {
    this.#incoming.forget();
    this.connection.forget();
  }

  #settled(): void {
    for (const look of this.#drains) look();
  }

  #error(what: () => string, sent: 'no' | 'maybe'): P2PError | undefined {
    return this.#closed === undefined ? undefined : connectionError(what(), this.#closed, sent);
  }
}
