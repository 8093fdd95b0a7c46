/** The data types of SSH (RFC 4251 §5). */

import { type Bytes, concatBytes, decodeText, encodeText } from '../../base/bytes.ts';
import { FieldReader } from '../../base/field-reader.ts';

/** Reads fields; after the first missing one all are empty. Never throws. */
export class SshReader extends FieldReader {
  readonly #all: Bytes;

  /** @param at - where the first field begins. */
  constructor(bytes: Bytes, at = 0) {
    super(bytes);
    this.#all = bytes;
    this.at = at;
  }

  bool(): boolean {
    return this.byte() !== 0;
  }

  uint32(): number {
    const bytes = this.take(4);
    return this.failed ? 0 : ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
  }

  /** A view. */
  string(): Bytes {
    return this.take(this.uint32());
  }

  /** A string that is UTF-8. */
  text(): string {
    return decodeText(this.string()) ?? this.fail('');
  }

  names(): readonly string[] {
    const text = this.text();
    return text === '' ? [] : text.split(',');
  }

  /** Whatever is left, a view. */
  rest(): Bytes {
    return this.take(Math.max(this.#all.length - this.at, 0));
  }

  /** Whether all fields were there, and nothing follows. */
  get isComplete(): boolean {
    return !this.failed && this.at === this.#all.length;
  }
}

export function uint32(value: number): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

export function string(value: Uint8Array | string): Bytes {
  const bytes = typeof value === 'string' ? encodeText(value) : value;
  return concatBytes(uint32(bytes.length), bytes);
}

export function names(list: readonly string[]): Bytes {
  return string(list.join(','));
}

export function byte(value: number): Bytes {
  return Uint8Array.of(value);
}

export function bool(value: boolean): Bytes {
  return byte(value ? 1 : 0);
}
