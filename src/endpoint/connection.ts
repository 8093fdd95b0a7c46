/** The interface of a connection. */

import type { Side } from '../core/accept.ts';
import type { Addr } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { ConnectionStats } from '../protocols/quic/engine.ts';
import type { ClosedBy } from '../protocols/quic/closed.ts';
import type { Feed, FeedOptions } from './feed.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { OutgoingMessage } from './message.ts';
import type { BiStream, IncomingStream, SendOptions, SendStream } from './stream.ts';

/** How a connection ended. */
export interface ConnectionClosed {
  /**
   * | by | |
   * | --- | --- |
   * | `local` | this side closed it, with its own code and reason |
   * | `peer` | the application on the other side closed it, with its code and reason |
   * | `local_transport`, `peer_transport` | QUIC or TLS found a fault; this includes a certificate that is refused after the handshake |
   * | `idle_timeout` | nothing came for the idle timeout |
   * | `handshake_timeout` | the handshake did not finish in time |
   * | `stateless_reset` | the peer has lost all memory of the connection |
   * | `version`, `engine_failure` | there is no common version of QUIC; the engine on this side broke |
   */
  readonly by: ClosedBy;
  /** The application's code with `local` and `peer` (see docs/wire/endpoint.md), the transport's otherwise. */
  readonly code: number;
  /** Text for people, from the side that closed the connection. A peer can send any text. */
  readonly reason: string;
  /** Whether this is an ordinary end: a close by this side, a close by the peer with code 0 or 1, or the idle timeout. */
  readonly benign: boolean;
  readonly cause?: unknown;
}

/** How a connection, or every connection of an endpoint, is closed. */
export interface CloseOptions {
  /** Codes 0 and from 256 on belong to the application; docs/wire/endpoint.md defines the others. @default 0 */
  readonly code?: number | undefined;
  /** For people; cut at 1000 bytes. @default 'closed' */
  readonly reason?: string | undefined;
}

/** How a request is made. */
export interface RequestOptions extends CallOptions {
  /** The largest answer, in bytes; of three parts, all together. @default the endpoint's `maxMessageBytes` */
  readonly maxResponseBytes?: number | undefined;
}

/**
 * A QUIC connection with a peer. It ends when one side closes it, when nothing comes for the idle timeout, or when its endpoint
 * closes. It does not end because the program drops this object.
 *
 * In all options `priority` is a whole number of 32 bits here.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface QuicConnection<A extends Addr = Addr, M = Bytes> extends AsyncDisposable {
  /** Unique within its endpoint: the first address of the peer, `#`, and a number. */
  readonly id: string;
  /** The peer's current address. It changes when the peer moves. */
  readonly remoteAddr: A;
  /** What the peer is: `'initiator'` when it dialled this endpoint, `'responder'` when this endpoint dialled it. */
  readonly side: Side;
  /** Whether the peer has proven its identity; false with `trust: 'anyone'` and `preset: 'qp2p'`. */
  readonly authenticated: boolean;
  /** The PeerID of the key that the peer has proven; `undefined` unless authenticated. */
  readonly peerId: PeerId | undefined;
  /** The key that the peer has proven; `undefined` unless authenticated. */
  readonly publicKey: PublicKey | undefined;
  /**
   * The peer's certificates in DER, end entity first. The peer has proven that it holds the key of the first one. Empty when it
   * presented none.
   */
  readonly certificates: readonly Bytes[];
  /** The application protocol that both sides agreed on. */
  readonly alpn: string | undefined;
  /** How it ended; `undefined` while it is open. */
  readonly closeReason: ConnectionClosed | undefined;
  /** Resolves once, with how the connection ended. Never rejects. */
  readonly closed: Promise<ConnectionClosed>;
  /** Statistics of the transport; `undefined` once the connection is over and everything was read. */
  readonly stats: ConnectionStats | undefined;

  /**
   * Sends one message on a stream of its own. Resolves when the transport has taken the whole message, or with `acked` when the
   * peer's transport has acknowledged it. Messages can overtake each other; messages on one stream (`openUni`) cannot.
   *
   * It waits while the peer allows no more streams or bytes.
   *
   * @throws {TypeError | RangeError} (at once) for a value that is no message, and for options out of bounds.
   * @throws {P2PError} (by rejection) `mtu_exceeded` before anything is sent; `disconnected`; `timeout` (30 s by default);
   *   `refused` when the peer has stopped the stream; `limit_exceeded` when too many messages wait.
   */
  send(message: OutgoingMessage<M>, options?: SendOptions): Promise<void>;

  /**
   * Sends one message on a bidirectional stream and waits for the first message that comes back on it, 30 s by default.
   *
   * @throws as {@link Connection.send}; `refused` when the peer ends or resets the stream without an answer.
   */
  request(message: OutgoingMessage<M>, options?: RequestOptions): Promise<M>;

  /** Opens a unidirectional stream to the peer. It waits while the peer allows no more of them. */
  openUni(options?: CallOptions): Promise<SendStream<M>>;
  /** Opens a bidirectional stream. It waits while the peer allows no more of them. */
  openBi(options?: CallOptions): Promise<BiStream<M>>;

  /**
   * Messages on streams that the peer opens, each as soon as it is complete; an unfinished stream delays no other. During this
   * iteration `endpoint.messages()` gets no messages of this connection.
   *
   * Messages that have come can still be taken after the peer has closed the connection. Then the iteration ends. If the end was
   * not benign, it throws once first.
   */
  messages(options?: FeedOptions): Feed<IncomingMessage<QuicConnection<A, M>, M>>;
  /** Streams of bytes that the peer opens. The iteration ends with the connection, without an error. */
  streams(options?: FeedOptions): Feed<IncomingStream<QuicConnection<A, M>, M>>;

  /**
   * Waits until the peer's transport has acknowledged every message and every finished stream.
   *
   * @throws {P2PError} (by rejection) `timeout` (30 s by default), `disconnected`.
   */
  drain(options?: CallOptions): Promise<void>;
  /**
   * Ends the connection at once. Data that the peer has not acknowledged may be lost, and messages that have come and were not
   * taken are dropped. Call `drain` first if that matters. Idempotent, never rejects.
   */
  close(options?: CloseOptions): Promise<void>;
}
