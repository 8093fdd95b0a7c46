/** Frames preceded by a length of fixed width. */

import { type Bytes, encodeText } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { assertBytes, wholeNumber } from '../../base/checks.ts';
import type { Codec, Encoder, FrameWriter } from '../codec.ts';
import { type Prefix, PrefixedDecoder } from './prefixed-decoder.ts';

/** How frames are delimited. */
export interface LengthDelimitedOptions {
  /** Width of the length field, which does not count itself. @default 4 */
  readonly prefixBytes?: 1 | 2 | 4 | undefined;
  /** Byte order of the length. @default 'big' */
  readonly endian?: 'big' | 'little' | undefined;
  /**
   * Larger frames are refused in both directions, before any byte of them is collected.
   * @default 16 777 216 (16 MiB), or the maximum of the prefix
   */
  readonly maxFrameBytes?: number | undefined;
  /**
   * Whether to send the peer the reason for closing: a length of all ones, then the reason as a frame. Peers without
   * this option see a frame that is too large, from a peer that is about to close.
   * @default false
   */
  readonly reasons?: boolean | undefined;
}

/** Chosen here; the same as for messages of swarms. */
const DEFAULT_MAX_FRAME_BYTES = 16_777_216;
/** Longer reasons are truncated. */
const MAX_REASON_CHARACTERS = 200;

/**
 * Messages are bytes; each is sent as its length followed by its bytes. Received messages are views of the read bytes
 * and belong to the receiver.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function lengthDelimited(options: LengthDelimitedOptions = {}): Codec<Bytes, Uint8Array> {
  const { prefixBytes = 4, endian = 'big', reasons = false } = options;
  if (prefixBytes !== 1 && prefixBytes !== 2 && prefixBytes !== 4) {
    throw new RangeError(`Cannot take prefixBytes: expected 1, 2 or 4, got ${String(prefixBytes)}`);
  }
  if (endian !== 'big' && endian !== 'little') {
    throw new TypeError(`Cannot take endian: expected 'big' or 'little', got ${String(endian)}`);
  }
  const allOnes = 2 ** (8 * prefixBytes) - 1;
  const most = reasons ? allOnes - 1 : allOnes;
  const fallback = Math.min(DEFAULT_MAX_FRAME_BYTES, most);
  const maxFrameBytes = wholeNumber(options.maxFrameBytes, 'maxFrameBytes', fallback, 0, most);
  const little = endian === 'little';
  const write = writers[prefixBytes];
  const encode = (message: Uint8Array, out: FrameWriter): void => {
    assertBytes(message, 'message');
    const { length } = message;
    if (length > maxFrameBytes) throw tooLarge(length, maxFrameBytes);
    if (prefixBytes === 4) {
      out.prefixed(message, little);
      return;
    }
    write(out, length, little);
    out.bytes(message);
  };
  const encodeReason = (reason: string, out: FrameWriter): void => {
    const text = encodeText(reason.slice(0, prefixBytes === 1 ? 60 : MAX_REASON_CHARACTERS));
    write(out, allOnes, little);
    write(out, text.length, little);
    out.bytes(text);
  };
  const encoder: Encoder<Uint8Array> = reasons ? { encode, encodeReason } : { encode };
  const format = {
    maxPrefixBytes: prefixBytes,
    read: readers[little ? 'little' : 'big'][prefixBytes],
    maxFrameBytes,
    reasonLength: reasons ? allOnes : undefined,
  };
  return { decoder: (_, options) => new PrefixedDecoder(format, options), encoder: () => encoder };
}

/** The error of a message that the codec refuses to send. */
export function tooLarge(length: number, limit: number): P2PError {
  const message = `Cannot send frame: ${length} bytes, limit is ${limit} bytes; raise maxFrameBytes on both sides`;
  return new P2PError('mtu_exceeded', 'local', message, { sent: 'no' });
}

const writers: Readonly<Record<1 | 2 | 4, (out: FrameWriter, length: number, little: boolean) => void>> = {
  1: (out, length) => out.uint8(length),
  2: (out, length, little) => out.uint16(length, little),
  4: (out, length, little) => out.uint32(length, little),
};

type Read = (bytes: Uint8Array, at: number, end: number, into: Prefix) => void;

const readOne: Read = (bytes, at, end, into) => {
  into.bytes = at < end ? 1 : 0;
  into.length = bytes[at] ?? 0;
};

/** Creates a reader of `width` bytes; `join` converts them into a number. */
function reader(width: 2 | 4, join: (bytes: Uint8Array, at: number) => number): Read {
  return (bytes, at, end, into) => {
    if (end - at < width) {
      into.bytes = 0;
      return;
    }
    into.bytes = width;
    into.length = join(bytes, at);
  };
}

const readers: Readonly<Record<'big' | 'little', Readonly<Record<1 | 2 | 4, Read>>>> = {
  big: {
    1: readOne,
    2: reader(2, (b, at) => (b[at]! << 8) | b[at + 1]!),
    4: reader(4, (b, at) => b[at]! * 0x1000000 + ((b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!)),
  },
  little: {
    1: readOne,
    2: reader(2, (b, at) => (b[at + 1]! << 8) | b[at]!),
    4: reader(4, (b, at) => b[at + 3]! * 0x1000000 + ((b[at + 2]! << 16) | (b[at + 1]! << 8) | b[at]!)),
  },
};
