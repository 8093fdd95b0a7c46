/** Reads the fields of a record of bytes. */

import { type Bytes, EMPTY_BYTES, viewFrom } from './bytes.ts';
import { readVarint, varintLength } from './varint.ts';

/** Reads fields one after the other; after the first missing one, all further fields are empty. Never throws. */
export class FieldReader {
  readonly #bytes: Bytes;
  /** Where the next field begins. */
  at: number = 0;
  /** Whether a field was missing or invalid. */
  failed: boolean = false;

  constructor(bytes: Bytes) {
    this.#bytes = bytes;
  }

  /** Marks the input as malformed. @returns `instead` */
  fail<T>(instead: T): T {
    this.failed = true;
    return instead;
  }

  byte(): number {
    return this.#bytes[this.at++] ?? this.fail(0);
  }

  /** An unsigned LEB128 number in its only form: an overlong one would be another record with the same meaning. */
  varint(): number {
    const first = this.#bytes[this.at];
    if (first !== undefined && first < 0x80) {
      this.at++;
      return first;
    }
    const read = readVarint(this.#bytes, this.at);
    if (read === undefined || varintLength(read.value) !== read.end - this.at) return this.fail(0);
    this.at = read.end;
    return read.value;
  }

  /** Bytes behind a varint that says how many. */
  prefixed(maxBytes: number): Bytes {
    const length = this.varint();
    return length > maxBytes ? this.fail(EMPTY_BYTES) : this.take(length);
  }

  /** The next `length` bytes, a view. */
  take(length: number): Bytes {
    const end = this.at + length;
    if (this.failed || end > this.#bytes.length) return this.fail(EMPTY_BYTES);
    const bytes = viewFrom(this.#bytes, this.at, end);
    this.at = end;
    return bytes;
  }
}
