/** A connection as users see it: who is at its other end, what is sent on it, and how it ends. */

import { type Side } from '../core/accept.ts';
import { type PublicKey } from '../core/secure.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type ConnectionStats, type DisconnectReason } from './stats.ts';

/** Who or what ended a connection; the first one counts. */
export type DisconnectOrigin =
  /** `connection.disconnect`, `node.drain`, `node.ban` or `node.recheck`. */
  | 'user'
  /** The peer's end, its bytes, its silence, or `onMessage`. */
  | 'reading'
  /** The peer does not take what is written. */
  | 'writing'
  /** `onConnect` threw. */
  | 'on_connect'
  /** `node.close`. */
  | 'shutdown';

/** How a connection ended. */
export interface Disconnect {
  readonly origin: DisconnectOrigin;
  readonly reason: DisconnectReason;
  /** What the peer said of it, where its codec can. From the peer: any text up to the codec's limit. */
  readonly said?: string | undefined;
  readonly cause?: unknown;
}

/** How connections are ended. */
export interface DisconnectOptions extends CallOptions {
  /** Told to the peer, where the codec can. @default 'closed' */
  readonly reason?: string | undefined;
}

/** How one message is sent. */
export interface SendOptions {
  /** Higher goes first, past what waits; messages of one priority stay in order. @default 0 */
  readonly priority?: number | undefined;
  /** Whether to return a promise for the fate of the message. @default false */
  readonly delivery?: boolean | undefined;
  /** The message is dropped if it has not been handed to the system by then. @default Infinity */
  readonly timeoutMs?: number | undefined;
}

/**
 * One connection. The same object in every hook, from the handshake to its end.
 *
 * @typeParam Out - the messages that the codec of its node can send. A bare `TcpConnection` is one of any node.
 */
export interface TcpConnection<in Out = never> {
  /** No other connection of the node ever has it. */
  readonly id: number;
  /** The other end as `ip:port`; for a peer that dialled, the port is one that nobody listens on. */
  readonly addr: string;
  /** The other end's IP; never IPv4-mapped. */
  readonly ip: string;
  readonly port: number;
  /** Our own end as `ip:port`. */
  readonly localAddr: string;
  /** What the peer is: `'initiator'` when it dialled this node, `'responder'` when this node dialled it. */
  readonly side: Side;
  readonly state: 'connecting' | 'open' | 'closing' | 'closed';
  /** The peer's key, when a handshake has proven it and `accept` has admitted it. */
  readonly publicKey: PublicKey | undefined;
  /** What was given to `connect` as `tag`. */
  readonly tag: unknown;
  readonly stats: ConnectionStats;
  /** Aborted when the connection begins to end; its reason is a {@link P2PError} `disconnected`. */
  readonly signal: AbortSignal;
  /** Resolves when it has ended, `onDisconnect` included. Never rejects. */
  readonly closed: Promise<Disconnect>;

  /**
   * Queues a message and returns at once. Bytes in it stay as they are until `flushed()`: large ones are not copied.
   *
   * @returns `true` when queued, `false` when queued and the queue is above its high-water mark: `ready()` tells when it is
   *   not.
   * @throws {P2PError} `limit_exceeded` when the queue is full; `disconnected` when it is not connected; `unsupported` when
   *   it was connected before `writing` was enabled. Nothing is queued then.
   */
  send(message: Out, options?: SendOptions & { readonly delivery?: false | undefined }): boolean;
  /**
   * As above, and tells what became of the message.
   *
   * @returns resolves when the message is in the kernel, which is no promise of arrival.
   * @throws {P2PError} (by rejection, which need not be caught) `timeout` when it was not sent in time; `disconnected` when
   *   the connection ended first: then `sent` says whether some of it may have gone out.
   */
  send(message: Out, options: SendOptions & { readonly delivery: true }): Promise<void>;

  /**
   * Waits for room: resolves when the queue is below its high-water mark.
   *
   * @throws {P2PError} (by rejection) `disconnected`, `unsupported` without `writing`, `timeout`, `closed`.
   */
  ready(options?: CallOptions): Promise<void>;

  /**
   * Waits until everything sent before is in the kernel.
   *
   * @throws {P2PError} (by rejection) as {@link TcpConnection.ready}.
   */
  flushed(options?: CallOptions): Promise<void>;

  /** Processes no further messages, and stops reading, until `resume()`. Without `reading` it does nothing. */
  pause(): void;
  /** Undoes {@link TcpConnection.pause}. */
  resume(): void;

  /**
   * Ends the connection politely: flushes, closes this half, processes what still comes, and waits until the peer has read
   * it all and closed its half, up to `timeoutMs` (5000 by default); then it lets go.
   *
   * @returns whether this call did it; `false`, at once, when it is ending already or has ended.
   */
  disconnect(options?: DisconnectOptions): Promise<boolean>;
}
