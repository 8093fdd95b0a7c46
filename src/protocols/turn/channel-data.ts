/** Data on channels (RFC 8656 §12.4): number u16, length u16, data; on streams padded to a multiple of four. */

import { type Bytes, joinBytes, viewFrom } from '../../base/bytes.ts';
import { MAX_STUN_BYTES, STUN_HEADER_BYTES } from '../stun/constants.ts';
import { isStun } from '../stun/message.ts';
import { CHANNEL_HEADER_BYTES, FIRST_CHANNEL, LAST_CHANNEL } from './constants.ts';

/** Writes data on a channel. @param padded - for streams */
export function encodeChannelData(channel: number, data: Uint8Array, padded: boolean): Bytes {
  const length = CHANNEL_HEADER_BYTES + data.length;
  const bytes = new Uint8Array(padded ? (length + 3) & ~3 : length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, channel);
  view.setUint16(2, data.length);
  bytes.set(data, CHANNEL_HEADER_BYTES);
  return bytes;
}

/** Whether a message begins with the number of a channel. */
export function isChannelData(bytes: Uint8Array): boolean {
  return bytes[0] !== undefined && bytes[0] >= FIRST_CHANNEL >> 8 && bytes[0] <= LAST_CHANNEL >> 8;
}

/** Reads data on a channel; `undefined` when it is malformed. The data is a view. */
export function decodeChannelData(bytes: Bytes): { readonly channel: number; readonly data: Bytes } | undefined {
  if (!isChannelData(bytes) || bytes.length < CHANNEL_HEADER_BYTES) return undefined;
  const length = (bytes[2]! << 8) | bytes[3]!;
  const end = CHANNEL_HEADER_BYTES + length;
  if (end > bytes.length) return undefined;
  return { channel: (bytes[0]! << 8) | bytes[1]!, data: viewFrom(bytes, CHANNEL_HEADER_BYTES, end) };
}

/** Cuts a stream into messages of STUN and data on channels (RFC 8656 §12.5). */
export class TurnStreamReader {
  /** Bounded by MAX_STUN_BYTES, 20 bytes of header and the last chunk. */
  #rest: Bytes = new Uint8Array(0);

  push(chunk: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? chunk.slice() : joinBytes(this.#rest, chunk);
  }

  /** The next message, `undefined` when it is not whole yet, `'malformed'` when none can come any more. */
  next(): Bytes | 'malformed' | undefined {
    const bytes = this.#rest;
    if (bytes.length < CHANNEL_HEADER_BYTES) return undefined;
    const field = (bytes[2]! << 8) | bytes[3]!;
    const isChannel = isChannelData(bytes);
    if (!isChannel && (bytes[0]! & 0xc0) !== 0) return 'malformed';
    if (!isChannel && bytes.length < STUN_HEADER_BYTES) return undefined;
    if (!isChannel && (!isStun(bytes) || field > MAX_STUN_BYTES)) return 'malformed';
    const length = isChannel ? (CHANNEL_HEADER_BYTES + field + 3) & ~3 : STUN_HEADER_BYTES + field;
    if (bytes.length < length) return undefined;
    this.#rest = viewFrom(bytes, length);
    return viewFrom(bytes, 0, length);
  }
}
