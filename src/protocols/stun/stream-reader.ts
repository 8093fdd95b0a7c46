/** STUN messages one after the other on a stream of bytes (RFC 8489 §6.2.2): the header says how long each one is. */

import { type Bytes, joinBytes } from '../../base/bytes.ts';
import { STUN_HEADER_BYTES } from './constants.ts';
import { isStun } from './message.ts';

/** The largest message that is taken from a stream: Binding needs a tenth of it. */
export const MAX_STREAMED_STUN_BYTES = 2048;

/** Cuts a stream into messages. */
export class StunStreamReader {
  /** Bounded by {@link MAX_STREAMED_STUN_BYTES} and the last chunk. */
  #rest: Bytes = new Uint8Array(0);

  push(chunk: Uint8Array): void {
    this.#rest = joinBytes(this.#rest, chunk);
  }

  /** The next message, `undefined` when it is not whole yet, `'malformed'` when none can come any more. */
  next(): Bytes | 'malformed' | undefined {
    const bytes = this.#rest;
    if (bytes.length < STUN_HEADER_BYTES) return undefined;
    const length = STUN_HEADER_BYTES + ((bytes[2]! << 8) | bytes[3]!);
    if (!isStun(bytes) || length > MAX_STREAMED_STUN_BYTES) return 'malformed';
    if (bytes.length < length) return undefined;
    this.#rest = bytes.slice(length);
    return bytes.slice(0, length);
  }
}
