/** A connection, as applications see it. */

import { type Side } from '../core/accept.ts';
import { type Addr } from '../core/addr.ts';
import { type Bytes } from '../base/bytes.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type PublicKey } from '../core/secure.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type ConnectionStats } from '../protocols/quic/engine.ts';
import { type ClosedBy } from '../protocols/quic/closed.ts';
import { type Feed, type FeedOptions } from './feed.ts';
import { type IncomingMessage } from './incoming-message.ts';
import { type OutgoingMessage } from './message.ts';
import { type BiStream, type IncomingStream, type SendStream } from './stream.ts';

/** How a connection ended. */
export interface ConnectionClosed {
  /**
   * | by | |
   * | --- | --- |
   * | `local` | we closed it, with our code and reason |
   * | `peer` | the application there did, with its code and reason |
   * | `local_transport`, `peer_transport` | QUIC or TLS found a fault; a certificate refused after all included |
   * | `idle_timeout` | nothing came for too long |
   * | `handshake_timeout` | never in use |
   * | `stateless_reset` | the peer has lost all memory of it |
   * | `version`, `engine_failure` | no common version of QUIC; our engine broke |
   */
  readonly by: ClosedBy;
  /** The application's code with `local` and `peer` (see docs/wire/endpoint.md), the transport's otherwise. */
  readonly code: number;
  /** Text for people, from the side that closed it; the peer's may be anything. */
  readonly reason: string;
  /** An end that belongs to normal life: our own close, the peer's with code 0 or 1, and the idle timeout. */
  readonly benign: boolean;
  readonly cause?: unknown;
}

/** How a connection, or every connection of an endpoint, is closed. */
export interface CloseOptions {
  /** 0 and from 256 on are the application's own; the others have their meaning in docs/wire/endpoint.md. @default 0 */
  readonly code?: number | undefined;
  /** For people; cut at 1000 bytes. @default 'closed' */
  readonly reason?: string | undefined;
}

/** How a message is sent. */
export interface SendOptions extends CallOptions {
  /**
   * Resolves when the peer's transport has acknowledged all of it, not when ours has taken it. Neither says that the
   * application there has read it. @default false
   */
  readonly acked?: boolean | undefined;
  /** Which messages go first: whole numbers of 32 bits, higher first. @default 0 */
  readonly priority?: number | undefined;
}

/** How a request is made. */
export interface RequestOptions extends CallOptions {
  /** As in {@link SendOptions}. @default 0 */
  readonly priority?: number | undefined;
  /** The largest answer; of three parts, all together. @default the endpoint's `maxMessageBytes` */
  readonly maxResponseBytes?: number | undefined;
}

/** How a stream is opened. */
export interface OpenStreamOptions extends CallOptions {
  /** As in {@link SendOptions}. @default 0 */
  readonly priority?: number | undefined;
}

/**
 * A QUIC connection with a peer. It ends when one side closes it, when nothing comes for the idle timeout, or with its
 * endpoint; never because nobody holds this object any more.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface Connection<A extends Addr = Addr, M = Bytes> extends AsyncDisposable {
  /** Unique within its endpoint: the address at first, `#`, a number. */
  readonly id: string;
  /** Where the peer is now; it may move. */
  readonly remoteAddr: A;
  /** What the peer is: `'initiator'` when it dialled this endpoint, `'responder'` when this endpoint dialled it. */
  readonly side: Side;
  /** Whether we know who the peer is; false with `trust: 'anyone'` and `preset: 'qp2p'`. */
  readonly authenticated: boolean;
  /** The peer's, from the key it has proven; `undefined` unless authenticated. */
  readonly peerId: PeerId | undefined;
  /** Likewise. */
  readonly publicKey: PublicKey | undefined;
  /** What the peer presented, DER, end entity first; it holds the key of the first. Empty where it showed none. */
  readonly certificates: readonly Bytes[];
  /** The application protocol both agreed on. */
  readonly alpn: string | undefined;
  /** How it ended, once it has. */
  readonly closeReason: ConnectionClosed | undefined;
  /** Resolves with how it ended, once. Never rejects. */
  readonly closed: Promise<ConnectionClosed>;
  /** Statistics of the transport; `undefined` once it is over and read. */
  readonly stats: ConnectionStats | undefined;

  /**
   * Sends one message on a stream of its own. Resolves when the transport has taken all of it, or with `acked` when the
   * peer's has acknowledged it. Messages may overtake each other; those on one stream (`openUni`) do not.
   *
   * It waits where the peer allows no more streams or bytes.
   *
   * @throws {TypeError | RangeError} (at once) for what is no message, and for options out of bounds.
   * @throws {P2PError} (by rejection) `mtu_exceeded` before anything is sent; `disconnected`; `timeout` (30 s by default);
   *   `refused` when the peer's side has stopped the stream; `limit_exceeded` when too many wait.
   */
  send(message: OutgoingMessage<M>, options?: SendOptions): Promise<void>;

  /**
   * Sends one message on a bidirectional stream and waits for the first that comes back on it, 30 s by default.
   *
   * @throws as {@link Connection.send}; `refused` when the peer ends or resets the stream without an answer.
   */
  request(message: OutgoingMessage<M>, options?: RequestOptions): Promise<M>;

  /** Opens a stream to the peer; waits where it allows no more. */
  openUni(options?: OpenStreamOptions): Promise<SendStream<M>>;
  /** Opens a stream both ways; waits where the peer allows no more. */
  openBi(options?: OpenStreamOptions): Promise<BiStream<M>>;

  /**
   * Messages on streams that the peer opens, each as soon as it is whole, whatever other streams do. While somebody
   * iterates here, `endpoint.messages()` gets none of this connection's.
   *
   * What has come is still given out after the peer has closed; then the iteration ends, after an error first when the
   * end was not benign. It throws once.
   */
  messages(options?: FeedOptions): Feed<IncomingMessage<Connection<A, M>, M>>;
  /** Streams of bytes that the peer opens. Ends as {@link Connection.messages}, without an error. */
  streams(options?: FeedOptions): Feed<IncomingStream<Connection<A, M>, M>>;

  /**
   * Waits until the peer's transport has acknowledged every message and every finished stream.
   *
   * @throws {P2PError} (by rejection) `timeout` (30 s by default), `disconnected`.
   */
  drain(options?: CallOptions): Promise<void>;
  /**
   * Ends the connection at once: what the peer has not acknowledged may be lost, and so is what has come and was not taken.
   * `drain` first where that matters. Idempotent, never rejects.
   */
  close(options?: CloseOptions): Promise<void>;
}
