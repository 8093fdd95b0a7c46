/** Lines of text. */

import { type Bytes, EMPTY_BYTES, concatBytes, decodeText, encodeText } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { assertString, wholeNumber } from '../../base/checks.ts';
import type { Codec, Decoder } from '../codec.ts';
import { tooLarge } from './length-delimited.ts';

/** How lines are delimited. */
export interface LinesOptions {
  /** Maximum bytes of a line without its end; longer ones are refused in both directions. @default 65 536 */
  readonly maxLineBytes?: number | undefined;
}

const DEFAULT_MAX_LINE_BYTES = 65_536;
const [NEWLINE, RETURN] = [0x0a, 0x0d];

/**
 * Messages are texts in UTF-8, each followed by a newline; a carriage return before the newline is removed. Invalid
 * UTF-8 is malformed.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function lines(options: LinesOptions = {}): Codec<string, string> {
  const maxLineBytes = wholeNumber(options.maxLineBytes, 'maxLineBytes', DEFAULT_MAX_LINE_BYTES, 1, 0x7fff_ffff);
  return {
    decoder: () => new LineDecoder(maxLineBytes),
    encoder: () => ({
      encode: (line, out) => {
        assertString(line, 'message');
        if (line.includes('\n')) throw new TypeError('Cannot send line: it contains a newline');
        const bytes = encodeText(line);
        if (bytes.length > maxLineBytes) throw tooLarge(bytes.length, maxLineBytes);
        out.bytes(bytes);
        out.uint8(NEWLINE);
      },
    }),
  };
}

class LineDecoder implements Decoder<string> {
  readonly #maxLineBytes: number;
  #chunk: Bytes = EMPTY_BYTES;
  #at = 0;
  /** The beginning of a line. Bounded by maxLineBytes. */
  #parts: Bytes[] = [];
  #partBytes = 0;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  get bufferedBytes(): number {
    return this.#partBytes + this.#chunk.length - this.#at;
  }

  push(chunk: Bytes): void {
    this.#chunk = this.#at < this.#chunk.length ? concatBytes(this.#chunk.subarray(this.#at), chunk) : chunk;
    this.#at = 0;
  }

  next(): string | undefined {
    const newline = this.#chunk.indexOf(NEWLINE, this.#at);
    const end = newline === -1 ? this.#chunk.length : newline;
    const part = this.#chunk.subarray(this.#at, end);
    // One additional byte may be a carriage return.
    if (this.#partBytes + part.length > this.#maxLineBytes + 1) {
      const message = `Cannot read line: it has more than ${this.#maxLineBytes} bytes`;
      throw new P2PError('limit_exceeded', 'remote', message);
    }
    if (newline === -1) {
      this.#keep(part);
      return undefined;
    }
    const whole = this.#parts.length === 0 ? part : concatBytes(...this.#parts, part);
    this.#parts = [];
    this.#partBytes = 0;
    this.#at = newline + 1;
    const line = whole.at(-1) === RETURN ? whole.subarray(0, -1) : whole;
    const text = decodeText(line);
    if (text === undefined) throw new Error('Cannot read line: it is not UTF-8');
    return text;
  }

  /** Joins small pieces from time to time, because a piece costs more than the bytes it holds. */
  #keep(part: Bytes): void {
    this.#chunk = EMPTY_BYTES;
    this.#at = 0;
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#partBytes += part.length;
    if (this.#parts.length >= 64) this.#parts = [concatBytes(...this.#parts)];
  }
}
