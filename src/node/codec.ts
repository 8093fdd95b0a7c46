/**
 * Codecs: encode messages as bytes on a connection, and decode them. A node gets its codec once, and its hooks and
 * connections infer the types of messages from it.
 */

import type { Bytes } from '../base/bytes.ts';
import type { TcpConnection } from './connection.ts';

/** Splits the bytes of one connection into messages. It has state, so each connection gets its own. */
export interface Decoder<out M> {
  /** Takes received bytes. `chunk` then belongs to the decoder: messages may be views of it. */
  push(chunk: Bytes): void;
  /**
   * Returns the next complete message, or `undefined` when more bytes are needed. Called repeatedly until then, and
   * only as fast as messages are processed, so the decoder is the queue: it holds one chunk and one unfinished message.
   *
   * A throw means that the bytes are not a message: a {@link P2PError} `limit_exceeded` counts as `oversize`, any other
   * error as `malformed`. The size of a message must be checked before its bytes are collected.
   */
  next(): M | undefined;
  /** Bytes taken but not yet returned as messages. */
  readonly bufferedBytes: number;
  /** The memory that these bytes take, when it is more. Counts against `maxNodeBytes`. @default bufferedBytes */
  readonly heldBytes?: number | undefined;
  /**
   * Whether messages are lent, as {@link DecoderOptions} say, and taken bytes are kept no longer: of the chunks before the last one only
   * what `next` has copied. The memory of chunks is then used again. @default false
   */
  readonly lends?: boolean | undefined;
  /** The reason for closing, once the peer has sent it. */
  readonly reason?: string | undefined;
  /**
   * Where to read the next bytes, when they belong to a large message whose buffer exists: they are read into it and
   * not pushed. @default all bytes are pushed
   */
  space?(): Uint8Array | undefined;
  /** Reports the number of bytes that were read into `space()`. */
  filled?(bytes: number): void;
}

/** How a decoder hands out messages. */
export interface DecoderOptions {
  /**
   * Messages may be views of memory that the decoder uses again: each is read before the next call of `next`. With `'checked'` that call
   * overwrites it. A decoder may ignore this, and hand out memory of its own for each message. @default false
   */
  readonly borrowed?: boolean | 'checked' | undefined;
}

/** Where an encoder writes its frame. Valid only during the call. */
export interface FrameWriter {
  uint8(value: number): void;
  uint16(value: number, littleEndian?: boolean): void;
  uint32(value: number, littleEndian?: boolean): void;
  varint(value: number): void;
  /** Small ones are copied; large ones are sent without a copy, so they must not change until flushed. */
  bytes(bytes: Uint8Array): void;
  /** Writes the length in four bytes, then the bytes: the form of many frames, in one step. */
  prefixed(bytes: Uint8Array, littleEndian?: boolean): void;
}

/** Writes the messages of one connection as bytes. */
export interface Encoder<in M> {
  /** Writes one frame. A throw refuses the message: nothing of it is sent, and `send` throws the same error. */
  encode(message: M, out: FrameWriter): void;
  /** Writes the reason for which this side is about to close. @default the codec cannot send a reason */
  encodeReason?(reason: string, out: FrameWriter): void;
  /** The frame as pieces that do not change any more, which are sent without a copy. @internal */
  pieces?(message: M): readonly Uint8Array[];
}

/**
 * Both directions of a format.
 *
 * @typeParam In - received messages.
 * @typeParam Out - messages that can be sent.
 */
export interface Codec<out In, in Out = In> {
  /** A decoder for one connection. */
  decoder(connection: TcpConnection, options?: DecoderOptions): Decoder<In>;
  /** An encoder for one connection. */
  encoder(connection: TcpConnection): Encoder<Out>;
}

/** How {@link mapCodec} converts messages. */
export interface CodecMap<In, Out, NewIn, NewOut> {
  /** Throwing counts as `malformed`. */
  readonly decode: (message: In) => NewIn;
  readonly encode: (message: NewOut) => Out;
}

/**
 * A codec with the same frames and converted messages.
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
    decoder: (connection, options) => new MappedDecoder(codec.decoder(connection, options), map.decode),
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

  get heldBytes(): number | undefined {
    return this.#inner.heldBytes;
  }

  get lends(): boolean | undefined {
    return this.#inner.lends;
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
