/** The version exchange (RFC 4253 §4.2). */

import { type Bytes, concatBytes, decodeText, EMPTY_BYTES, encodeText } from '../../base/bytes.ts';
import { MAX_LINE_BYTES, MAX_PREAMBLE_BYTES } from './constants.ts';
import type { SshFault } from './faults.ts';

/** What this side says, without the end of the line. */
export const OWN_VERSION = 'SSH-2.0-shoal';

const LF = 10;
const CR = 13;

/** The line that this side sends. */
export const OWN_VERSION_LINE: Bytes = encodeText(`${OWN_VERSION}\r\n`);

/** Reads lines until the version. A dialled peer may send others before it. */
export class VersionReader {
  readonly #mayGreet: boolean;
  /** The line so far. Bounded by {@link MAX_LINE_BYTES}. */
  #line: Bytes = EMPTY_BYTES;
  #read = 0;

  /** @param mayGreet - whether lines before the version are allowed. */
  constructor(mayGreet: boolean) {
    this.#mayGreet = mayGreet;
  }

  /** Takes bytes up to the end of the version. @returns the version and the bytes behind it; `undefined`: more are needed */
  push(bytes: Bytes): { readonly version: Bytes; readonly rest: Bytes } | SshFault | undefined {
    let left = bytes;
    for (;;) {
      const end = left.indexOf(LF);
      const part = end < 0 ? left : left.subarray(0, end);
      this.#read += part.length + 1;
      if (this.#line.length + part.length >= MAX_LINE_BYTES || this.#read > MAX_PREAMBLE_BYTES) return 'oversize';
      this.#line = concatBytes(this.#line, part);
      if (end < 0) return undefined;
      left = left.subarray(end + 1);
      const line = this.#line.at(-1) === CR ? this.#line.slice(0, -1) : this.#line;
      this.#line = EMPTY_BYTES;
      const text = decodeText(line) ?? '';
      if (text.startsWith('SSH-')) {
        // A server that also speaks version 1 says 1.99 (RFC 4253 §5.1).
        const isTwo = text.startsWith('SSH-2.0-') || (this.#mayGreet && text.startsWith('SSH-1.99-'));
        return isTwo ? { version: line, rest: left } : 'wrong_version';
      }
      if (!this.#mayGreet) return 'wrong_version';
    }
  }
}
