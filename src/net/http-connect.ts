/** What an HTTP proxy answers to CONNECT (RFC 9110 §9.3.6), and what it is asked. */

import { type Bytes, decodeText, encodeText, joinBytes, viewFrom } from '../base/bytes.ts';
import { printableText } from '../base/reason.ts';

/** The longest header of an answer: what most proxies and servers take at most. */
export const MAX_PROXY_HEADER_BYTES = 16_384;

/** The request for a connection to `authority`, `ip:port`. @param authorization - the value of Proxy-Authorization */
export function encodeConnect(authority: string, authorization: string | undefined): Bytes {
  const credentials = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`;
  return encodeText(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
}

/** The answer of a proxy: its status, and the first bytes of the connection, if some came with it. */
export interface ConnectAnswer {
  readonly status: number;
  /** From the proxy, made printable, at most 64 characters. */
  readonly reason: string;
  readonly rest: Bytes;
}

const STATUS_LINE = /^HTTP\/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n/;
const CR = 0x0d;
const LF = 0x0a;

/** Reads the answer of a proxy from a stream. Never throws. */
export class ConnectReader {
  /** Bounded by MAX_PROXY_HEADER_BYTES and one chunk. */
  #bytes: Bytes = new Uint8Array(0);
  /** Up to where no end of the header was found. */
  #searched = 0;

  /** @returns the answer once its header is whole; `undefined` before; `'malformed'` for what is no answer, or a longer one. */
  push(chunk: Uint8Array): ConnectAnswer | 'malformed' | undefined {
    this.#bytes = joinBytes(this.#bytes, chunk);
    const end = this.#endOfHeader();
    if (end === undefined) return this.#bytes.length > MAX_PROXY_HEADER_BYTES ? 'malformed' : undefined;
    if (end > MAX_PROXY_HEADER_BYTES) return 'malformed';
    const [, code = '', reason = ''] = STATUS_LINE.exec(decodeText(this.#bytes.subarray(0, end)) ?? '') ?? [];
    if (code === '') return 'malformed';
    return { status: Number(code), reason: printableText(reason).slice(0, 64), rest: viewFrom(this.#bytes, end) };
  }

  /** Behind the first empty line. Lines end in CR LF; a bare LF is taken too (RFC 9112 §2.2). */
  #endOfHeader(): number | undefined {
    const bytes = this.#bytes;
    for (let at = this.#searched; at < bytes.length; at++) {
      if (bytes[at] !== LF) continue;
      const before = bytes[at - 1] === CR ? at - 2 : at - 1;
      if (bytes[before] === LF) return at + 1;
    }
    this.#searched = bytes.length;
    return undefined;
  }
}
