/**
 * Codecs: how messages become bytes on a connection, and bytes messages. A node is told
 * its codec once, and its hooks and connections infer the types of messages from it.
 */

import { type Bytes } from '../base/bytes.ts';
import { type TcpConnection } from './connection.ts';

/** Cuts the bytes of one connection into messages. It keeps state, so each connection gets one of its own. */
export interface Decoder<out M> {
  /** Takes what came. `chunk` is the decoder's to keep: messages may be views of it. */
  push(chunk: Bytes): void;
  /**
   * The next whole message, or `undefined` when it takes more bytes. Called until then, and only as fast as messages are
   * processed, so the decoder is the queue: it holds one chunk and one unfinished message.
   *
   * Throwing says that the bytes are no message: a {@link P2PError} `limit_exceeded` counts as `oversize`, anything else
   * as `malformed`. The size of a message must be checked before its bytes are gathered.
   */
  next(): M | undefined;
  /** Bytes taken and not yet given out as messages. */
  readonly bufferedBytes: number;
  /** Why the peer is about to close, once it has said so. */
  readonly reason?: string | undefined;
  /**
   * Where the next bytes belong, when they are part of a large message whose buffer is there: then they are read to it,
   * and not pushed. @default all bytes are pushed
   */
  space?(): Uint8Array | undefined;
  /** So many bytes were read to `space()`. */
  filled?(bytes: number): void;
}

/** Where an encoder writes its frame. Borrowed for the one call. */
export interface FrameWriter {
  uint8(value: number): void;
  uint16(value: number, littleEndian?: boolean): void;
  uint32(value: number, littleEndian?: boolean): void;
  varint(value: number): void;
  /** Small ones are copied; large ones go out from where they are, so they must stay as they are until flushed. */
  bytes(bytes: Uint8Array): void;
  /** Their length in four bytes, and the bytes: what many frames are, in one step. */
  prefixed(bytes: Uint8Array, littleEndian?: boolean): void;
}

/** Writes the messages of one connection as bytes. */
export interface Encoder<in M> {
  /** Writes one frame. Throwing refuses the message: nothing of it goes out, and `send` throws the same. */
  encode(message: M, out: FrameWriter): void;
  /** Writes what tells the peer why this side is about to close. @default the codec cannot say it */
  encodeReason?(reason: string, out: FrameWriter): void;
}

/**
 * Both directions of a format.
 *
 * @typeParam In - the messages that come.
 * @typeParam Out - the messages that can be sent.
 */
export interface Codec<out In, in Out = In> {
  /** A decoder for one connection. */
  decoder(connection: TcpConnection): Decoder<In>;
  /** An encoder for one connection. */
  encoder(connection: TcpConnection): Encoder<Out>;
}

/** How {@link mapCodec} turns messages into other ones. */
export interface CodecMap<In, Out, NewIn, NewOut> {
  /** Throwing counts as `malformed`. */
  readonly decode: (message: In) => NewIn;
  readonly encode: (message: NewOut) => Out;
}

/**
 * The same frames with other messages in them.
 *
 * @example
 * ```ts
 * const texts = mapCodec(lengthDelimited(), { decode: (bytes) => decodeText(bytes) ?? '', encode: encodeText });
 * ```
 */
export function mapCodec<In, Out, NewIn, NewOut>(
  codec: Codec<In, Out>,
  map: CodecMap<In, Out, NewIn, NewOut>,
): Codec<NewIn, NewOut> {
  return {
    decoder: (connection) => new MappedDecoder(codec.decoder(connection), map.decode),
    encoder: (connection) => {
      const inner = codec.encoder(connection);
      const encode = (message: NewOut, out: FrameWriter): void => inner.encode(map.encode(message), out);
      if (inner.encodeReason === undefined) return { encode };
      return { encode, encodeReason: (reason, out) => inner.encodeReason?.(reason, out) };
    },
  };
}

class MappedDecoder<In, NewIn> implements Decoder<NewIn> {
  readonly #inner: Decoder<In>;
  readonly #decode: (message: In) => NewIn;

  constructor(inner: Decoder<In>, decode: (message: In) => NewIn) {
    this.#inner = inner;
    this.#decode = decode;
  }

  get bufferedBytes(): number {
    return this.#inner.bufferedBytes;
  }

  get reason(): string | undefined {
    return this.#inner.reason;
  }

  push(chunk: Bytes): void {
    this.#inner.push(chunk);
  }

  space(): Uint8Array | undefined {
    return this.#inner.space?.();
  }

  filled(bytes: number): void {
    this.#inner.filled?.(bytes);
  }

  next(): NewIn | undefined {
    const message = this.#inner.next();
    return message === undefined ? undefined : this.#decode(message);
  }
}
