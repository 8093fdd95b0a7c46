/** The interface of an endpoint. */

import type { Addr } from '../core/addr.ts';
import type { Counters } from '../core/counters.ts';
import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { Bytes } from '../base/bytes.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions, Closed } from '../core/swarm.ts';
import type { CloseOptions, QuicConnection, ConnectionClosed } from './connection.ts';
import type { Feed, FeedOptions } from './feed.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { OutgoingMessage } from './message.ts';
import type { EndpointRetry } from './options.ts';
import type { SendOptions } from './stream.ts';

/** How a connection is made. */
export interface ConnectOptions extends CallOptions {
  /** The only PeerID to connect to. Another peer is `identity_mismatch`, before any data is delivered. @default any */
  readonly expect?: PeerId | undefined;
  /** Dials a new connection even if there is one, and keeps both. @default false */
  readonly fresh?: boolean | undefined;
  /** Tries again, with growing pauses; `true` for 30 s. @default the endpoint's `retry` */
  readonly retry?: boolean | EndpointRetry | undefined;
  /** The name that the peer's certificate must have, with `trust: { ca }`; sent as SNI. @default that of `trust` */
  readonly serverName?: string | undefined;
}

/** An address to dial, and the peer that is expected there. */
export interface ConnectTarget<A extends Addr> {
  readonly addr: A | string;
  /** @default the `expect` of the call */
  readonly expect?: PeerId | undefined;
}

/** How an endpoint connects to one of several addresses. */
export interface ConnectToAnyOptions extends ConnectOptions {
  /** Pause between the starts of two attempts. When an attempt fails, the next one starts at once. @default 0 */
  readonly staggerMs?: number | undefined;
  /** The most attempts at a time. @default 8 */
  readonly maxParallel?: number | undefined;
  /** The longest time for each attempt. @default the endpoint's `connectTimeoutMs` */
  readonly timeoutMs?: number | undefined;
}

/** A peer to send to: a connection, a known PeerID, an address, or its text (with `<PeerID>@` before it, if the PeerID is expected). */
export type PeerTarget<A extends Addr, M = Bytes> = QuicConnection<A, M> | ConnectTarget<A> | A | string;

/** How a message is sent to a peer. */
export interface SendToOptions extends SendOptions, Omit<ConnectOptions, 'fresh'> {
  /** Part of the `sent` or `unsent` event of the message. @default undefined */
  readonly token?: unknown;
}

/** What happens at an endpoint. */
export type EndpointEvent<A extends Addr, M = Bytes> =
  /** There is a new connection, dialled or accepted. */
  | { readonly type: 'connected'; readonly connection: QuicConnection<A, M> }
  /** A connection has ended; once for each that was `connected`. */
  | { readonly type: 'disconnected'; readonly connection: QuicConnection<A, M>; readonly closed: ConnectionClosed }
  /** The peer's transport has acknowledged a message of `endpoint.send` or `trySend`. */
  | { readonly type: 'sent'; readonly message: OutgoingMessage<M>; readonly token: unknown }
  /** It has not acknowledged the message, and will not. `error.sent` says whether a part of it may have arrived. */
  | {
      readonly type: 'unsent';
      readonly message: OutgoingMessage<M>;
      readonly token: unknown;
      readonly error: P2PError;
    };

/** How events are iterated. */
export interface EventOptions extends FeedOptions {
  /** Events that can wait. When there are more, the oldest is dropped and counted in `dropped`. @default 1024 */
  readonly capacity?: number | undefined;
}

/** Events in order. */
export interface EventFeed<A extends Addr, M = Bytes> extends Feed<EndpointEvent<A, M>> {
  /** Events that were dropped because `capacity` was reached. */
  readonly dropped: number;
}

/**
 * Connections and streams over QUIC. One address serves to dial and to be dialled. docs/endpoint.md describes what each call
 * guarantees.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface Endpoint<A extends Addr = Addr, M = Bytes> extends AsyncDisposable {
  readonly realm: Realm;
  /** Live numbers: messages sent and received, and what was dropped. */
  readonly counters: Counters;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  /** Resolves when the endpoint has ended, with how it ended. Never rejects. */
  readonly closed: Promise<Closed>;

  /** Addresses at which others reach it, best first. Empty once it is closed. */
  localAddrs(): readonly A[];
  /** Parses the text of an address. @throws {TypeError} when it is no address of the swarm below. */
  parseAddr(text: string): A;
  /** Parses a text that a peer wrote; `undefined` when it is no address of the swarm below. */
  tryParseAddr(text: string): A | undefined;
  /** The first of `localAddrs()`. @throws {P2PError} (at once) `closed` once the endpoint is closed. */
  readonly addr: A;

  /**
   * Connects to an address. It returns an open connection with that address, or with the peer that `expect` names; if there is none,
   * it dials. Calls for the same target share a dial. It resolves when each side has accepted the other.
   *
   * @param target - an address, its text (`<PeerID>@` before it is the same as `expect`), or `{ addr, expect }`.
   * @throws {TypeError | RangeError} (at once) for a value that is neither an address nor a text, and for options out of bounds.
   * @throws {P2PError} (by rejection) `unreachable` (at once for port 0, for addresses that cannot be routed, and for a text that is no
   *   address), `timeout`,
   *   `refused`, `identity_mismatch`, `limit_exceeded`, `unsupported`, `closed`.
   */
  connect(target: ConnectTarget<A> | A | string, options?: ConnectOptions): Promise<QuicConnection<A, M>>;

  /**
   * Connects to the first of several addresses that answers. The other attempts are cancelled, unless other calls wait for them.
   *
   * @throws {RangeError} (at once) when there are no candidates.
   * @throws {P2PError} (by rejection) `unreachable` when none answers; its `cause` is an `AggregateError` with an error for
   *   each candidate, in order.
   */
  connectToAny(
    candidates: readonly (ConnectTarget<A> | A | string)[],
    options?: ConnectToAnyOptions,
  ): Promise<QuicConnection<A, M>>;

  /** Accepted connections, in order. A connection that ends before it is taken is left out. */
  connections(options?: FeedOptions): Feed<QuicConnection<A, M>>;
  /** Messages of all connections, from each connection in turn; not of those whose own `messages()` is iterated. */
  messages(options?: FeedOptions): Feed<IncomingMessage<QuicConnection<A, M>, M>>;
  /** What happens from now on. */
  events(options?: EventOptions): EventFeed<A, M>;

  /**
   * Sends to a peer and connects first if there is no connection. Messages that wait for a connection are sent in order once it
   * is there. Resolves as {@link Connection.send} does.
   *
   * @throws as `connect` and `Connection.send`; `unreachable` for a PeerID that has no connection and had none lately.
   */
  send(peer: PeerTarget<A, M>, message: OutgoingMessage<M>, options?: SendToOptions): Promise<void>;
  /** Sends to a peer that has a connection. @throws {P2PError} (by rejection) `unreachable` without a connection. */
  trySend(
    peer: PeerTarget<A, M>,
    message: OutgoingMessage<M>,
    options?: SendOptions & { readonly token?: unknown },
  ): Promise<void>;

  /** The connection that `connect` would return without dialling. */
  connectionTo(peer: PeerTarget<A, M>): QuicConnection<A, M> | undefined;
  /** All open connections. */
  openConnections(): readonly QuicConnection<A, M>[];
  /** Closes every connection with a peer, or with an address. @returns how many */
  disconnectFrom(peer: PeerTarget<A, M>, options?: CloseOptions): Promise<number>;

  /** Waits until the peers' transports have acknowledged everything. @throws {P2PError} (by rejection) `timeout`, `closed`. */
  drain(options?: CallOptions): Promise<void>;
  /**
   * Asks `accept` again about every peer with a connection, and ends the connections of peers that it refuses (close code 3).
   *
   * @returns settles when all are judged; never rejects.
   */
  recheck(): Promise<void>;
  /** Closes all connections and accepts no more. Idempotent, never rejects, ends within a second. */
  close(options?: CloseOptions): Promise<void>;
}
