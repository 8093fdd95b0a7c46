/** Frames preceded by their length as an unsigned LEB128 varint, as in protobuf streams and libp2p. */

import type { Bytes } from '../../base/bytes.ts';
import { assertBytes, wholeNumber } from '../../base/checks.ts';
import type { Codec, Encoder } from '../codec.ts';
import { tooLarge } from './length-delimited.ts';
import { PrefixedDecoder, type PrefixFormat } from './prefixed-decoder.ts';

/** How frames are delimited. */
export interface VarintDelimitedOptions {
  /**
   * Larger frames are refused in both directions, before any byte of them is collected. @default 16 777 216 (16 MiB)
   */
  readonly maxFrameBytes?: number | undefined;
}

const DEFAULT_MAX_FRAME_BYTES = 16_777_216;
/** Seven bits each: five bytes can express 32 GiB. */
const MAX_PREFIX_BYTES = 5;

/**
 * Messages are bytes; each is sent as its length, one to five bytes, followed by its bytes.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function varintDelimited(options: VarintDelimitedOptions = {}): Codec<Bytes, Uint8Array> {
  const maxFrameBytes = wholeNumber(options.maxFrameBytes, 'maxFrameBytes', DEFAULT_MAX_FRAME_BYTES, 0, 0xffff_ffff);
  const encoder: Encoder<Uint8Array> = {
    encode: (message, out) => {
      assertBytes(message, 'message');
      if (message.length > maxFrameBytes) throw tooLarge(message.length, maxFrameBytes);
      out.varint(message.length);
      out.bytes(message);
    },
  };
  const format: PrefixFormat = {
    maxPrefixBytes: MAX_PREFIX_BYTES,
    read: readVarint,
    maxFrameBytes,
    reasonLength: undefined,
  };
  return { decoder: (_, options) => new PrefixedDecoder(format, options), encoder: () => encoder };
}

const readVarint: PrefixFormat['read'] = (bytes, at, end, into) => {
  let length = 0;
  let scale = 1;
  for (let i = 0; at + i < end; i++) {
    const byte = bytes[at + i]!;
    if (i >= MAX_PREFIX_BYTES) throw new Error('Cannot read frame: its length has more than five bytes');
    length += (byte & 0x7f) * scale;
    scale *= 0x80;
    if (byte >= 0x80) continue;
    into.bytes = i + 1;
    into.length = length;
    return;
  }
  if (end - at >= MAX_PREFIX_BYTES) throw new Error('Cannot read frame: its length has more than five bytes');
  into.bytes = 0;
};
