/**
 * Noise messages on a byte stream: each is preceded by its length in two bytes, big-endian; and a byte stream in such
 * records.
 *
 * Source: docs/wire/noise.md §3.
 */

import { type Bytes, concatBytes, copyBytes, EMPTY_BYTES } from '../../base/bytes.ts';
import { AEAD_TAG_BYTES } from '../../crypto/suite.ts';
import { type CipherState, MAX_NOISE_MESSAGE_BYTES, type NoiseFault } from './cipher-state.ts';

/** Bytes of the length field. */
export const RECORD_HEADER_BYTES = 2;
/** The maximum plaintext of one record. */
export const MAX_RECORD_PLAINTEXT_BYTES: number = MAX_NOISE_MESSAGE_BYTES - AEAD_TAG_BYTES;

/** A Noise message preceded by its length. @throws {RangeError} when it has more than 65 535 bytes. */
export function frameNoiseMessage(message: Uint8Array): Bytes {
  const { length } = message;
  if (length > MAX_NOISE_MESSAGE_BYTES) {
    throw new RangeError(`Cannot frame message: expected at most ${MAX_NOISE_MESSAGE_BYTES} bytes, got ${length}`);
  }
  const framed = new Uint8Array(RECORD_HEADER_BYTES + length);
  framed[0] = length >>> 8;
  framed[1] = length;
  framed.set(message, RECORD_HEADER_BYTES);
  return framed;
}

/**
 * Splits a byte stream into Noise messages. Bounded by one message and the last pushed bytes: take all messages between
 * two pushes.
 */
export class NoiseMessageReader {
  #rest: Bytes = EMPTY_BYTES;

  /** Received bytes that are not part of a complete message yet. */
  get pending(): number {
    return this.#rest.length;
  }

  /** Adds received bytes; the caller may reuse them. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#rest = this.#rest.length === 0 ? copyBytes(bytes) : concatBytes(this.#rest, bytes);
  }

  /** The next complete message, a view that the caller may keep; `undefined` when there is none. */
  next(): Bytes | undefined {
    const rest = this.#rest;
    if (rest.length < RECORD_HEADER_BYTES) return undefined;
    const end = RECORD_HEADER_BYTES + ((rest[0]! << 8) | rest[1]!);
    if (rest.length < end) return undefined;
    this.#rest = rest.subarray(end);
    return rest.subarray(RECORD_HEADER_BYTES, end);
  }

  /** Whether there is a complete message. */
  get hasNext(): boolean {
    const rest = this.#rest;
    return rest.length >= RECORD_HEADER_BYTES && rest.length >= RECORD_HEADER_BYTES + ((rest[0]! << 8) | rest[1]!);
  }

  /** Removes and returns all bytes that were not taken. */
  takeRest(): Bytes {
    const rest = this.#rest;
    this.#rest = EMPTY_BYTES;
    return rest;
  }
}

/**
 * Seals `plaintext` in as few records as possible, one after the other. An empty plaintext becomes one empty record.
 */
export function sealRecords(cipher: CipherState, plaintext: Uint8Array): Bytes | NoiseFault {
  const records = Math.max(1, Math.ceil(plaintext.length / MAX_RECORD_PLAINTEXT_BYTES));
  const out = new Uint8Array(plaintext.length + records * (RECORD_HEADER_BYTES + AEAD_TAG_BYTES));
  let at = 0;
  for (let i = 0; i < records; i++) {
    const start = i * MAX_RECORD_PLAINTEXT_BYTES;
    const chunk = plaintext.subarray(start, start + MAX_RECORD_PLAINTEXT_BYTES);
    const length = chunk.length + AEAD_TAG_BYTES;
    out[at] = length >>> 8;
    out[at + 1] = length;
    const fault = cipher.sealInto(EMPTY_BYTES, chunk, out, at + RECORD_HEADER_BYTES);
    if (fault !== undefined) return fault;
    at += RECORD_HEADER_BYTES + length;
  }
  return out;
}

/** Opens a stream of records. */
export class NoiseRecordReader {
  readonly #cipher: CipherState;
  readonly #messages = new NoiseMessageReader();
  #fault: NoiseFault | undefined;

  constructor(cipher: CipherState) {
    this.#cipher = cipher;
  }

  /**
   * Opens the records that are complete now, and returns the contents of each; after a fault only the fault.
   *
   * @param maxRecords - further records wait for the next call, which may pass no bytes: {@link
   * NoiseRecordReader.hasMore}.
   */
  push(bytes: Uint8Array, maxRecords: number = Infinity): readonly Bytes[] | NoiseFault {
    if (this.#fault !== undefined) return this.#fault;
    this.#messages.push(bytes);
    const opened: Bytes[] = [];
    while (opened.length < maxRecords) {
      const record = this.#messages.next();
      if (record === undefined) break;
      const plaintext = this.#cipher.open(EMPTY_BYTES, record);
      if (typeof plaintext === 'string') {
        this.#fault = plaintext;
        // The data before the fault is authentic, but a stream with a gap is unusable.
        return plaintext;
      }
      opened.push(plaintext);
    }
    return opened;
  }

  /** Whether a complete record waits to be opened. */
  get hasMore(): boolean {
    return this.#fault === undefined && this.#messages.hasNext;
  }

  /** Bytes that were not opened: at the end of the stream there must be none. */
  get pending(): number {
    return this.#messages.pending;
  }
}
