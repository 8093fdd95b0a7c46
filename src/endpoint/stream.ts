/** Streams of a connection, as applications see them. */

import { type Bytes } from '../base/bytes.ts';
import { type Side } from '../core/accept.ts';
import { type CallOptions } from '../core/swarm.ts';
import { type StreamKind } from '../protocols/quic/stream.ts';
import { type OutgoingMessage } from './message.ts';

/** Which stream, in the words of both ends. */
export interface StreamId {
  /** Which end of the connection opened it. */
  readonly opener: Side;
  readonly kind: StreamKind;
  /** Counts those of one opener and kind, from 0. */
  readonly index: number;
  /** As on the wire (RFC 9000 §2.1): unique within the connection, and in order of opening among its like. */
  readonly number: number;
  /** `initiator uni stream 3 of 127.0.0.1:5000#1` */
  readonly text: string;
}

/** How a message is written to a stream. */
export interface WriteOptions extends CallOptions {
  /**
   * Waits until the peer's transport has acknowledged all of it: for `finish` only, since acknowledgements are told of
   * whole streams. @default false
   */
  readonly acked?: boolean | undefined;
}

/**
 * Our side of a stream. Nothing is ended by letting go of it.
 *
 * @typeParam M - a message: bytes, or with `preset: 'qp2p'` a `Qp2pMessage`.
 */
export interface SendStream<M = Bytes> {
  readonly id: StreamId;
  /**
   * Sends a message; several follow each other in order. Resolves when the transport has taken all of it.
   *
   * @throws {P2PError} (by rejection) `refused` when the peer wants no more of the stream; `disconnected`, `timeout`,
   *   `mtu_exceeded`; `unsupported` for a second message where the framing has one a stream (qp2p's).
   */
  send(message: OutgoingMessage<M>, options?: WriteOptions): Promise<void>;
  /** Ends the stream, with a last message if one is given: the two leave together. */
  finish(message?: OutgoingMessage<M>, options?: WriteOptions): Promise<void>;
  /** Gives up: what the peer has not got is lost, and it sees the code. @default code 3, given up */
  reset(code?: number): void;
  /** Which streams go first: whole numbers of 32 bits, higher first, 0 from the start; for what is written from now on. */
  setPriority(priority: number): void;
  /**
   * The stream as bytes instead of messages, for bodies too large to buffer. Writing waits for the peer to read, closing
   * ends the stream, aborting resets it. The peer gets it from `connection.streams()`, or as `receive` of one it opened.
   *
   * @throws {P2PError} (at once) `unsupported` after a message was sent, and where the framing knows no bytes (qp2p's).
   */
  readonly writable: WritableStream<Uint8Array>;
}

/** The peer's side of a stream. What is not read stops the peer at the window of the stream. */
export interface ReceiveStream<M = Bytes> extends AsyncIterable<M> {
  readonly id: StreamId;
  /**
   * The next message, or `undefined` when the peer has ended the stream.
   *
   * @throws {P2PError} (by rejection) `refused` when the peer has reset it; `mtu_exceeded` for a message over the limit and
   *   `unsupported` for no message at all, and the stream is stopped then; `disconnected`, `timeout`.
   */
  next(options?: CallOptions): Promise<M | undefined>;
  /** Wants no more; what has come and was not read is dropped. @default code 3, given up */
  stop(code?: number): void;
  /** The stream as bytes, where the peer writes it so. It reads no faster than it is read. */
  readonly readable: ReadableStream<Bytes>;
}

/** A stream both ways. */
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
  /** Where to answer; `undefined` on a unidirectional stream. */
  readonly send: SendStream<M> | undefined;
}
