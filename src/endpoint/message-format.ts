/** What is a message of an endpoint, and how it becomes bytes: shoal's own messages, and those of qp2p. */

import { type Bytes, copyBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { assertBytes, describeValue } from '../base/checks.ts';
import {
  encodeBytes,
  encodeParts,
  type Framing,
  type MessageParts,
  PREFACE,
  qp2pFraming,
  shoalFraming,
} from '../protocols/endpoint/frame.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { OutgoingMessage, Qp2pMessage } from './message.ts';
import type { SendStream, StreamId } from './stream.ts';

/** Where a message came from. */
export interface Origin<C, M> {
  readonly connection: C;
  readonly stream: StreamId;
  readonly reply: SendStream<M> | undefined;
}

/** A message to write. */
export interface Encoded {
  readonly chunks: readonly Uint8Array[];
  /** Bytes of the message itself: its three parts together. */
  readonly size: number;
  readonly payloadBytes: number;
}

/** @typeParam M - a message that has come. */
export interface MessageFormat<M> {
  readonly framing: Framing<M>;
  /** @throws {TypeError} when `message` is no message. */
  check(message: OutgoingMessage<M>): void;
  /**
   * @param isFirst - whether it is the first of its stream.
   * @throws {TypeError} when `message` is no message.
   */
  encode(message: OutgoingMessage<M>, isFirst: boolean): Encoded;
  /** Bytes of the message itself. */
  sizeOf(message: M): number;
  payloadOf(message: M): Bytes;
  /** The same message in memory of its own. */
  copy(message: M): M;
  incoming<C>(message: M, origin: Origin<C, M>): IncomingMessage<C, M>;
}

/** A message is bytes. */
export const bytesFormat: MessageFormat<Bytes> = {
  framing: shoalFraming,
  check: checkBytes,
  encode: (message, isFirst) => {
    checkBytes(message);
    const { length } = message;
    const chunks = encodeBytes(message, isFirst ? PREFACE.MESSAGES : undefined);
    return { chunks, size: length, payloadBytes: length };
  },
  sizeOf: (message) => message.length,
  payloadOf: (message) => message,
  copy: copyBytes,
  incoming: (payload, { connection, stream, reply }) => ({ payload, connection, stream, reply }),
};

/** A message has three parts; bytes alone are its payload. */
export const qp2pFormat: MessageFormat<Qp2pMessage> = {
  framing: qp2pFraming,
  check: partsOf,
  encode: (message) => {
    const parts = partsOf(message);
    const payloadBytes = parts.payload.length;
    const size = parts.header.length + parts.dst.length + payloadBytes;
    return { chunks: encodeParts(parts), size, payloadBytes };
  },
  sizeOf: ({ header, dst, payload }) => header.length + dst.length + payload.length,
  payloadOf: ({ payload }) => payload,
  copy: ({ header, dst, payload }) => ({
    header: copyBytes(header),
    dst: copyBytes(dst),
    payload: copyBytes(payload),
  }),
  incoming: ({ header, dst, payload }, { connection, stream, reply }) => ({
    header,
    dst,
    payload,
    connection,
    stream,
    reply,
  }),
};

function checkBytes(message: unknown): asserts message is Uint8Array {
  if (typeof message === 'object' && message !== null && 'payload' in message) {
    throw new TypeError(
      "Cannot take message: expected a Uint8Array, got an object; messages in three parts need preset: 'qp2p'",
    );
  }
  assertBytes(message, 'message');
}

function partsOf(message: OutgoingMessage<Qp2pMessage>): MessageParts<Uint8Array> {
  if (message instanceof Uint8Array) return { header: EMPTY_BYTES, dst: EMPTY_BYTES, payload: message };
  if (typeof message !== 'object' || message === null) {
    throw new TypeError(
      `Cannot take message: expected a Uint8Array or { header, dst, payload }, got ${describeValue(message)}`,
    );
  }
  const { header = EMPTY_BYTES, dst = EMPTY_BYTES, payload } = message;
  assertBytes(header, 'message.header');
  assertBytes(dst, 'message.dst');
  assertBytes(payload, 'message.payload');
  return { header, dst, payload };
}
