/** The interfaces of streams. */

import type { Bytes } from '../base/bytes.ts';
import type { Side } from '../core/accept.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { OutgoingMessage } from './message.ts';

/** Identifies a stream, with the same values on both sides. */
export interface StreamId {
  /** The side of the connection that opened it. */
  readonly opener: Side;
  readonly kind: 'uni' | 'bidi';
  /** Counts the streams of one opener and kind, from 0. */
  readonly index: number;
  /** As on the wire (RFC 9000 §2.1): unique within the connection; streams of one opener and kind are numbered in order of opening. */
  readonly number: number;
  /** `initiator uni stream 3 of 127.0.0.1:5000#1` */
  readonly text: string;
}

/** How a message is sent, or written to a stream. */
export interface SendOptions extends CallOptions {
  /**
   * Resolves when the peer's transport has acknowledged the whole message, not when the transport on this side has taken it. In
   * both cases the application there may not have read it. On a stream it works with `finish` only, because acknowledgements are
   * known for whole streams. @default false
   */
  readonly acked?: boolean | undefined;
}

/**
 * The sending side of a stream. Dropping this object does not end the stream.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface SendStream<M = Bytes> {
  readonly id: StreamId;
  /**
   * Sends a message; messages of one stream arrive in order. Resolves when the transport has taken all of it.
   *
   * @throws {P2PError} (by rejection) `refused` when the peer has stopped the stream; `disconnected`, `timeout`,
   *   `mtu_exceeded`; `unsupported` for a second message with qp2p's framing, which has one message for each stream.
   */
  send(message: OutgoingMessage<M>, options?: SendOptions): Promise<void>;
  /** Ends the stream, after a last message if one is given; the message and the end leave together. */
  finish(message?: OutgoingMessage<M>, options?: SendOptions): Promise<void>;
  /** Ends the stream at once: data that the peer has not received is lost, and the peer sees the code. @default code 3, cancelled */
  reset(code?: number): void;
  /** Streams with a higher priority go first: whole numbers of 32 bits, 0 from the start. It applies to data that is written afterwards. */
  setPriority(priority: number): void;
  /**
   * The stream as bytes instead of messages, for bodies that do not fit in memory. A write waits until the peer reads; `close`
   * ends the stream; `abort` resets it. The peer gets the stream from `connection.streams()`, or as `receive` of a stream that it
   * opened.
   *
   * @throws {P2PError} (at once) `unsupported` after a message was sent, and with qp2p's framing, which has no streams of bytes.
   */
  readonly writable: WritableStream<Uint8Array>;
}

/**
 * The receiving side of a stream. The peer can send as much as the stream's window allows; it then waits until data is read.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface ReceiveStream<M = Bytes> extends AsyncIterable<M> {
  readonly id: StreamId;
  /**
   * The next message, or `undefined` when the peer has ended the stream.
   *
   * @throws {P2PError} (by rejection) `refused` when the peer has reset it; `mtu_exceeded` for a message over the limit and
   *   `unsupported` for bytes that are no message, and the stream is stopped in both cases; `disconnected`, `timeout`.
   */
  next(options?: CallOptions): Promise<M | undefined>;
  /** Stops the stream; data that has come and was not read is dropped. @default code 3, cancelled */
  stop(code?: number): void;
  /** The stream as bytes, when the peer writes it as bytes. It reads from the peer only as fast as the program reads. */
  readonly readable: ReadableStream<Bytes>;
}

/** Both sides of a bidirectional stream. */
export interface BiStream<M = Bytes> {
  readonly id: StreamId;
  readonly send: SendStream<M>;
  readonly receive: ReceiveStream<M>;
}

/** A stream of bytes that the peer has opened. */
export interface IncomingStream<C, M = Bytes> {
  readonly connection: C;
  readonly id: StreamId;
  readonly receive: ReceiveStream<M>;
  /** For an answer; `undefined` on a unidirectional stream. */
  readonly send: SendStream<M> | undefined;
}
