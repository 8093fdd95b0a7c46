/** The public interface of a connection: its peer, sending, and its end. */

import type { Side } from '../core/accept.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { ConnectionStats, DisconnectReason } from './stats.ts';

/** What ended a connection; the first cause counts. */
export type DisconnectOrigin =
  /** `connection.disconnect`, `node.drain`, `node.ban` or `node.recheck`. */
  | 'user'
  /** The peer's end, its bytes, its silence, or `onMessage`. */
  | 'reading'
  /** The peer does not read what is sent to it. */
  | 'writing'
  /** `onConnect` threw. */
  | 'on_connect'
  /** `node.close`. */
  | 'shutdown';

/** How a connection ended. */
export interface Disconnect {
  readonly origin: DisconnectOrigin;
  readonly reason: DisconnectReason;
  /** The reason sent by the peer, if its codec supports reasons. From the peer: any text up to the codec's limit. */
  readonly said?: string | undefined;
  readonly cause?: unknown;
}

/** Options for ending a connection. */
export interface DisconnectOptions extends CallOptions {
  /** Sent to the peer, if the codec supports reasons. @default 'closed' */
  readonly reason?: string | undefined;
}

/** Options for sending one message. */
export interface SendOptions {
  /** Higher is sent first, before other waiting messages; messages of one priority stay in order. @default 0 */
  readonly priority?: number | undefined;
  /** Whether to return a promise for the result of the message. @default false */
  readonly delivery?: boolean | undefined;
  /** The message is dropped if it has not been passed to the system by then. @default Infinity */
  readonly timeoutMs?: number | undefined;
  /** Called with the result of the message, in place of the promise. @internal */
  readonly settle?: ((error?: unknown) => void) | undefined;
}

/**
 * One connection. The same object in every hook, from the handshake to its end.
 *
 * @typeParam Out - the messages that the codec of its node can send. `TcpConnection` without it fits any node.
 */
export interface TcpConnection<in Out = never> {
  /** Unique among all connections of the node. */
  readonly id: number;
  /** The other end as `ip:port`; for a peer that dialled, nobody listens on that port. */
  readonly addr: string;
  /** The other end's IP; never IPv4-mapped. */
  readonly ip: string;
  readonly port: number;
  /** The local end as `ip:port`. */
  readonly localAddr: string;
  /** The role of the peer: `'initiator'` when it dialled this node, `'responder'` when this node dialled it. */
  readonly side: Side;
  readonly state: 'connecting' | 'open' | 'closing' | 'closed';
  /** The peer's key, when a handshake has proven it and `accept` has admitted it. */
  readonly publicKey: PublicKey | undefined;
  /** The `tag` that was passed to `connect`. */
  readonly tag: unknown;
  readonly stats: ConnectionStats;
  /** Aborted when the connection begins to end; its reason is a {@link P2PError} `disconnected`. */
  readonly signal: AbortSignal;
  /** Resolves after the connection has ended and `onDisconnect` has run. Never rejects. */
  readonly closed: Promise<Disconnect>;

  /**
   * Queues a message and returns at once. Bytes in it must not change until `flushed()`: large ones are not copied.
   *
   * @returns `true` when queued, `false` when queued and the queue is above its high-water mark: `ready()` waits until
   * it is below.
   * @throws {P2PError} `limit_exceeded` when the queue is full; `disconnected` when it is not connected; `unsupported`
   * when it was connected before `writing` was enabled. Nothing is queued then.
   */
  send(message: Out, options?: SendOptions & { readonly delivery?: false | undefined }): boolean;
  /**
   * As above, with a promise for the result.
   *
   * @returns resolves when the message is in the kernel; it may still be lost.
   * @throws {P2PError} (by rejection, which need not be caught) `timeout` when it was not sent in time; `disconnected`
   * when the connection ended first: `sent` then says whether a part of it may have been sent.
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

  /** Stops processing messages and reading until `resume()`. Has no effect without `reading`. */
  pause(): void;
  /** Undoes {@link TcpConnection.pause}. */
  resume(): void;

  /**
   * Ends the connection gracefully: flushes, closes this half, processes incoming messages, and waits until the peer
   * has read everything and closed its half, up to `timeoutMs` (5000 by default); then closes it.
   *
   * @returns whether this call ended it; `false`, at once, when it is ending already or has ended.
   */
  disconnect(options?: DisconnectOptions): Promise<boolean>;
}
