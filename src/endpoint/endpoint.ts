/** An endpoint, as applications see it. */

import { type Addr } from '../core/addr.ts';
import { type Counters } from '../core/counters.ts';
import { type P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type Realm } from '../core/realm.ts';
import { type Bytes } from '../base/bytes.ts';
import { type PublicKey } from '../core/secure.ts';
import { type CallOptions, type Closed } from '../core/swarm.ts';
import { type CloseOptions, type Connection, type ConnectionClosed, type SendOptions } from './connection.ts';
import { type Feed, type FeedOptions } from './feed.ts';
import { type IncomingMessage } from './incoming-message.ts';
import { type OutgoingMessage } from './message.ts';
import { type EndpointRetry } from './options.ts';

/** How a connection is made. */
export interface ConnectOptions extends CallOptions {
  /** The only PeerID that will do; anybody else is `identity_mismatch`, before a byte is delivered. @default none */
  readonly expect?: PeerId | undefined;
  /** Dials anew whatever is there, and keeps both. @default false */
  readonly fresh?: boolean | undefined;
  /** Tries again, with growing pauses; `true` for 30 s. @default as the endpoint says */
  readonly retry?: boolean | EndpointRetry | undefined;
  /** The name that the peer's certificate must have, with `trust: { ca }`; sent as SNI. @default as `trust` says */
  readonly serverName?: string | undefined;
}

/** One address to try, and whom one expects there. */
export interface ConnectTarget<A extends Addr> {
  readonly addr: A | string;
  /** @default that of the call */
  readonly expect?: PeerId | undefined;
}

/** How one of several is connected to. */
export interface ConnectToAnyOptions extends ConnectOptions {
  /** Pause between the starts of two attempts; one that fails makes the next start at once. @default 0 */
  readonly staggerMs?: number | undefined;
  /** Attempts at a time. @default 8 */
  readonly maxParallel?: number | undefined;
  /** How long each attempt may take. @default the endpoint's `connectTimeoutMs` */
  readonly timeoutMs?: number | undefined;
}

/** Whom to send to: a connection, a PeerID that is known, an address, or the text of one (`<PeerID>@` may come before). */
export type PeerTarget<A extends Addr, M = Bytes> = Connection<A, M> | ConnectTarget<A> | A | string;

/** How a message is sent to a peer. */
export interface SendToOptions extends SendOptions, Omit<ConnectOptions, 'fresh'> {
  /** Comes back with the `sent` or `unsent` event. @default undefined */
  readonly token?: unknown;
}

/** What happens at an endpoint. */
export type EndpointEvent<A extends Addr, M = Bytes> =
  /** A connection is there, dialled or accepted. */
  | { readonly type: 'connected'; readonly connection: Connection<A, M> }
  /** A connection has ended; told once for each that was `connected`. */
  | { readonly type: 'disconnected'; readonly connection: Connection<A, M>; readonly closed: ConnectionClosed }
  /** The peer's transport has acknowledged a message of `endpoint.send` or `trySend`. */
  | { readonly type: 'sent'; readonly message: OutgoingMessage<M>; readonly token: unknown }
  /** It has not, and will not: here it is again. `error.sent` tells whether any of it may have got there. */
  | {
      readonly type: 'unsent';
      readonly message: OutgoingMessage<M>;
      readonly token: unknown;
      readonly error: P2PError;
    };

/** How events are iterated. */
export interface EventOptions extends FeedOptions {
  /** Events that may wait; then the oldest is given up for the newest, and `dropped` counts. @default 1024 */
  readonly capacity?: number | undefined;
}

/** Events in order. */
export interface EventFeed<A extends Addr, M = Bytes> extends Feed<EndpointEvent<A, M>> {
  /** How many were given up for want of room. */
  readonly dropped: number;
}

/**
 * Connections and streams over QUIC on one address: it dials and is dialled on the same one. Docs: docs/endpoint.md, where
 * each sentence names its test.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface Endpoint<A extends Addr = Addr, M = Bytes> extends AsyncDisposable {
  readonly realm: Realm;
  /** Live numbers; messages sent and received, and what was dropped. */
  readonly counters: Counters;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  /** Resolves when the endpoint has ended, with how. Never rejects. */
  readonly closed: Promise<Closed>;

  /** Addresses under which others reach it, best first. Empty once closed. */
  localAddrs(): readonly A[];
  /** The address that `text` writes. @throws {TypeError} when it is none of the swarm below. */
  parseAddr(text: string): A;
  /** The address that `text` writes, for text that a peer wrote; `undefined` when it is none of this endpoint's kind. */
  tryParseAddr(text: string): A | undefined;
  /** The best of `localAddrs()`. @throws {P2PError} (at once) `closed` once the endpoint is closed. */
  readonly addr: A;

  /**
   * A connection to an address: one that is there (of that address, or with `expect` of that peer), or a new one; calls for
   * the same share a dial. Resolves when each side has let the other in.
   *
   * @param target - an address, its text, `<PeerID>@` before it for `expect`, or `{ addr, expect }`.
   * @throws {TypeError | RangeError} (at once) for what is no address, and for options out of bounds.
   * @throws {P2PError} (by rejection) `unreachable` (at once for port 0 and for addresses that cannot be routed), `timeout`,
   *   `refused`, `identity_mismatch`, `limit_exceeded`, `unsupported`, `closed`.
   */
  connect(target: ConnectTarget<A> | A | string, options?: ConnectOptions): Promise<Connection<A, M>>;

  /**
   * A connection to the first of several that answers. The other attempts are given up, unless others wait for them too.
   *
   * @throws {RangeError} (at once) when there are no candidates.
   * @throws {P2PError} (by rejection) `unreachable` when none answers; its `cause` is an `AggregateError` with an error for
   *   each candidate, in order.
   */
  connectToAny(
    candidates: readonly (ConnectTarget<A> | A | string)[],
    options?: ConnectToAnyOptions,
  ): Promise<Connection<A, M>>;

  /** Connections that others have made, in order. Those that end before they are taken are left out. */
  connections(options?: FeedOptions): Feed<Connection<A, M>>;
  /** Messages of all connections whose own `messages()` nobody iterates, in turn. Each says from which. */
  messages(options?: FeedOptions): Feed<IncomingMessage<Connection<A, M>, M>>;
  /** What happens from now on. */
  events(options?: EventOptions): EventFeed<A, M>;

  /**
   * Sends to a peer, connecting first where that is needed. Messages that wait for a connection are sent in order once it
   * is there. Resolves as {@link Connection.send} does.
   *
   * @throws as `connect` and `Connection.send`; `unreachable` for a PeerID that has no connection and had none lately.
   */
  send(peer: PeerTarget<A, M>, message: OutgoingMessage<M>, options?: SendToOptions): Promise<void>;
  /** Sends to a peer only where a connection is there. @throws {P2PError} (by rejection) `unreachable` where none is. */
  trySend(
    peer: PeerTarget<A, M>,
    message: OutgoingMessage<M>,
    options?: SendOptions & { readonly token?: unknown },
  ): Promise<void>;

  /** The connection that `connect` would answer without dialling. */
  connectionTo(peer: PeerTarget<A, M>): Connection<A, M> | undefined;
  /** All connections that are open. */
  openConnections(): readonly Connection<A, M>[];
  /** Closes every connection with a peer, or with an address; answers how many. */
  disconnectFrom(peer: PeerTarget<A, M>, options?: CloseOptions): Promise<number>;

  /** Waits until the peers' transports have acknowledged everything. @throws {P2PError} (by rejection) `timeout`, `closed`. */
  drain(options?: CallOptions): Promise<void>;
  /**
   * Asks `accept` again about every peer with a connection, and ends the connections of those that it refuses (close code 3).
   *
   * @returns settles when all are judged; never rejects.
   */
  recheck(): Promise<void>;
  /** Closes all connections and takes no more. Idempotent, never rejects, ends within a second. */
  close(options?: CloseOptions): Promise<void>;
}
