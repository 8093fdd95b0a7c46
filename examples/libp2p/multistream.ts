/**
 * multistream-select 1.0: two sides agree on a protocol for a stream of bytes. Lines end with a newline, each behind its
 * length. Source: libp2p's spec of connections, "protocol negotiation".
 */

import type { Bytes } from 'shoal';
import { concatBytes, decodeText, EMPTY_BYTES, encodeText, encodeVarint, readVarint } from 'shoal/bytes';

const VERSION = '/multistream/1.0.0';
/** Longer lines are none: go-libp2p takes as many bytes. */
const MAX_LINE_BYTES = 1024;

/** Lines as they go over the wire. */
export function encodeLines(...lines: readonly string[]): Bytes {
  return concatBytes(
    ...lines.map((line) => {
      const text = encodeText(`${line}\n`);
      return concatBytes(encodeVarint(text.length), text);
    }),
  );
}

/** What came of a negotiation so far. */
export interface Negotiated {
  readonly send: Bytes;
  /** The protocol agreed on; `'failed'`: there is none. */
  readonly protocol?: string | undefined;
  /** Bytes behind the negotiation: the protocol's. */
  readonly rest: Bytes;
}

/** One negotiation, without I/O. */
export class Negotiation {
  readonly #isInitiator: boolean;
  readonly #protocols: readonly string[];
  #buffer: Bytes = EMPTY_BYTES;
  #hasVersion = false;
  #proposed = 0;

  /** @param protocols - those we propose, best first, or those we have. */
  constructor(role: 'initiator' | 'responder', protocols: readonly string[]) {
    this.#isInitiator = role === 'initiator';
    this.#protocols = protocols;
  }

  /** What is said first. An initiator does not wait for the other's version to propose: that saves a round trip. */
  start(): Bytes {
    return this.#isInitiator ? encodeLines(VERSION, this.#protocols[0]!) : encodeLines(VERSION);
  }

  push(bytes: Uint8Array): Negotiated {
    this.#buffer = concatBytes(this.#buffer, bytes);
    let send: Bytes = EMPTY_BYTES;
    for (let line = this.#next(); line !== undefined; line = this.#next()) {
      if (line === 'malformed') return this.#end('failed', send);
      if (!this.#hasVersion) {
        if (line !== VERSION) return this.#end('failed', send);
        this.#hasVersion = true;
      } else if (this.#isInitiator) {
        if (line === this.#protocols[this.#proposed]) return this.#end(line, send);
        const next = this.#protocols[++this.#proposed];
        if (next === undefined) return this.#end('failed', send);
        send = concatBytes(send, encodeLines(next));
      } else if (this.#protocols.includes(line)) return this.#end(line, concatBytes(send, encodeLines(line)));
      else send = concatBytes(send, encodeLines('na'));
    }
    return { send, rest: EMPTY_BYTES };
  }

  #end(protocol: string, send: Bytes): Negotiated {
    const rest = this.#buffer;
    this.#buffer = EMPTY_BYTES;
    return { send, protocol, rest };
  }

  /** The next line without its newline. Bounded: a line that is too long is none. */
  #next(): string | undefined {
    const length = readVarint(this.#buffer);
    if (length === undefined) return this.#buffer.length > 2 ? 'malformed' : undefined;
    if (length.value > MAX_LINE_BYTES || length.value === 0) return 'malformed';
    const end = length.end + length.value;
    if (this.#buffer.length < end) return undefined;
    const text = decodeText(this.#buffer.subarray(length.end, end));
    this.#buffer = this.#buffer.slice(end);
    return text?.endsWith('\n') === true ? text.slice(0, -1) : 'malformed';
  }
}
