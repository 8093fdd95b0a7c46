/**
 * Strict DER (ITU-T X.690 §10): definite lengths in their shortest form, low tag numbers, no trailing bytes.
 *
 * The reader is for this folder only: it throws {@link DerSyntaxError}, which {@link readDer} converts to `undefined`,
 * so that no decoder of the library throws for invalid bytes.
 */

import { concatBytes, copyBytes, type Bytes } from '../base/bytes.ts';
import { decodeOid, encodeOid, type Oid } from './oid.ts';

/** The tags used here (X.680 §8.6). */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of the context-specific element `number`. */
export function contextTag(number: number, constructed: boolean): number {
  return 0x80 | (constructed ? 0x20 : 0) | number;
}

/** One element: tag, shortest length, and the concatenated contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const content of contents) length += content.length;
  const lengthBytes: number[] = [];
  if (length < 0x80) lengthBytes.push(length);
  else {
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) lengthBytes.unshift(rest % 256);
    lengthBytes.unshift(0x80 | lengthBytes.length);
  }
  return concatBytes(Uint8Array.of(tag, ...lengthBytes), ...contents);
}

/** SEQUENCE of complete elements. */
export function derSequence(...elements: readonly Uint8Array[]): Bytes {
  return der(TAG.sequence, ...elements);
}

/** INTEGER of a big-endian magnitude; leading zeros are ignored. */
export function derUnsigned(magnitude: Uint8Array): Bytes {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const shortest = magnitude.length === 0 ? Uint8Array.of(0) : magnitude.subarray(start);
  return shortest[0]! >= 0x80 ? der(TAG.integer, Uint8Array.of(0), shortest) : der(TAG.integer, shortest);
}

/** OBJECT IDENTIFIER. @throws {TypeError} when it is invalid. */
export function derOid(oid: Oid): Bytes {
  return der(TAG.oid, encodeOid(oid));
}

/** BIT STRING of whole bytes. */
export function derBitString(bytes: Uint8Array): Bytes {
  return der(TAG.bitString, Uint8Array.of(0), bytes);
}

/** The error of the reader; never leaves this folder. @internal */
export class DerSyntaxError extends Error {
  override readonly name = 'DerSyntaxError';
}

function refuse(why: string): never {
  throw new DerSyntaxError(why);
}

/** The maximum number of elements that one {@link readDer} reads: many times that of a certificate in use. */
export const MAX_DER_ELEMENTS = 2048;

/** The remaining budget of a reader and the readers opened inside it. */
interface Budget {
  elements: number;
}

/** Reads elements one after the other. All methods throw {@link DerSyntaxError}. @internal */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #budget: Budget;
  #offset = 0;

  constructor(bytes: Uint8Array, budget: Budget = { elements: MAX_DER_ELEMENTS }) {
    this.#bytes = bytes;
    this.#budget = budget;
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** The tag of the next element, or undefined at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /** Contents of the next element, which must have this tag; a view. */
  contents(tag: number): Uint8Array {
    if (this.tag !== tag) refuse(`expected tag ${tag}`);
    if (--this.#budget.elements < 0) refuse('too many elements');
    const bytes = this.#bytes;
    let at = this.#offset + 1;
    let length = bytes[at++] ?? refuse('no length');
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3) refuse('indefinite or excessive length');
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + (bytes[at++] ?? refuse('cut off length'));
      if (length < 0x80 || length < 256 ** (count - 1)) refuse('length is not in its shortest form');
    }
    if (at + length > bytes.length) refuse('cut off');
    this.#offset = at + length;
    return bytes.subarray(at, at + length);
  }

  /** The next complete element, tag and length included; a view. */
  element(tag: number): Uint8Array {
    const start = this.#offset;
    this.contents(tag);
    return this.#bytes.subarray(start, this.#offset);
  }

  /** The next complete element of any low-numbered tag. */
  any(): Uint8Array {
    const tag = this.tag;
    if (tag === undefined || (tag & 0x1f) === 0x1f) refuse('no element with a low tag number');
    return this.element(tag);
  }

  sequence(): DerReader {
    return new DerReader(this.contents(TAG.sequence), this.#budget);
  }

  oid(): Oid {
    return decodeOid(this.contents(TAG.oid)) ?? refuse('bad object identifier');
  }

  /** Two's complement contents of an INTEGER in shortest form. */
  integer(): Uint8Array {
    const value = this.contents(TAG.integer);
    if (value.length === 0) refuse('empty integer');
    if (value.length > 1 && (value[0] === 0 ? value[1]! < 0x80 : value[0] === 0xff && value[1]! >= 0x80)) {
      refuse('integer is not in its shortest form');
    }
    return value;
  }

  /** A small INTEGER, 0 to 127. */
  smallInteger(): number {
    const value = this.integer();
    if (value.length !== 1 || value[0]! >= 0x80) refuse('integer out of range');
    return value[0]!;
  }

  /** BIT STRING of whole bytes. @param tag - replaces the tag of BIT STRING. */
  bitString(tag: number = TAG.bitString): Bytes {
    const value = this.contents(tag);
    if (value[0] !== 0) refuse('bit string with unused bits');
    return copyBytes(value.subarray(1));
  }

  octetString(): Bytes {
    return copyBytes(this.contents(TAG.octetString));
  }

  /** DER has exactly one encoding for true and one for false (X.690 §11.1). */
  boolean(): boolean {
    const value = this.contents(TAG.boolean);
    if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff)) refuse('bad boolean');
    return value[0] === 0xff;
  }

  /** Ends this level: fails when bytes are left. */
  end(): void {
    if (!this.done) refuse('trailing bytes');
  }
}

/** Reads all of `bytes` with `read`; `undefined` when they are not as expected. Never throws. @internal */
export function readDer<T>(bytes: Uint8Array, read: (reader: DerReader) => T): T | undefined {
  try {
    const reader = new DerReader(bytes);
    const value = read(reader);
    reader.end();
    return value;
  } catch (error) {
    if (error instanceof DerSyntaxError) return undefined;
    throw error;
  }
}
