/**
 * Unsigned LEB128, as in Go's `encoding/binary` and in protobuf: seven bits per byte, least significant group first,
 * the top bit set on all bytes but the last. Values have 64 bits on the wire.
 */

import type { Bytes } from './bytes.ts';
import { describeValue } from './checks.ts';

/** The maximum bytes of a 64-bit varint. */
export const MAX_VARINT_BYTES = 10;

/**
 * The number of bytes that `value` needs.
 *
 * @throws {TypeError | RangeError} when `value` is not a whole number from 0 to 2^53 − 1.
 */
export function varintLength(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) refuse(value);
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  let length = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    length++;
  }
  return length;
}

function refuse(value: unknown): never {
  const why = `Cannot write varint: expected a whole number from 0 to 2^53 - 1, got ${describeValue(value)}`;
  throw typeof value === 'number' ? new RangeError(why) : new TypeError(why);
}

/**
 * Writes `value` at `offset` and returns the offset after it.
 *
 * @throws {TypeError | RangeError} when `value` is not a whole number from 0 to 2^53 − 1, or does not fit.
 */
export function writeVarint(out: Uint8Array, offset: number, value: number): number {
  const length = varintLength(value);
  if (offset + length > out.length) {
    throw new RangeError(`Cannot write varint: ${length} bytes needed, ${out.length - offset} left`);
  }
  if (length === 1) {
    out[offset] = value;
    return offset + 1;
  }
  for (; value > 0x7fff_ffff; value = Math.floor(value / 0x80)) out[offset++] = (value % 0x80) | 0x80;
  for (; value >= 0x80; value >>>= 7) out[offset++] = value | 0x80;
  out[offset++] = value;
  return offset;
}

/** `value` as a varint in a new buffer. @throws {TypeError | RangeError} as {@link writeVarint}. */
export function encodeVarint(value: number): Bytes {
  const bytes = new Uint8Array(varintLength(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

/**
 * `value`, 0 to 2^64 − 1, as a varint in a new buffer. @throws {TypeError | RangeError} when it is not a bigint in this
 * range.
 */
export function encodeVarint64(value: bigint): Bytes {
  if (typeof value !== 'bigint') {
    throw new TypeError(`Cannot write varint: expected a bigint, got ${describeValue(value)}`);
  }
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`Cannot write varint: expected 0 to 2^64 - 1, got ${value}`);
  }
  const bytes: number[] = [];
  while (value >= 0x80n) {
    bytes.push(Number(value & 0x7fn) | 0x80);
    value >>= 7n;
  }
  bytes.push(Number(value));
  return Uint8Array.from(bytes);
}

/** A decoded varint and the offset after it. */
export interface Varint<N extends number | bigint = number> {
  readonly value: N;
  readonly end: number;
}

/**
 * Reads the varint at `offset`; `undefined` when it is truncated, longer than 64 bits, or larger than 2^53 − 1.
 * Overlong forms (`80 00` for 0) are accepted, as in Go. Never throws.
 */
export function readVarint(bytes: Uint8Array, offset = 0): Varint | undefined {
  let value = 0;
  let weight = 1;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[offset + i];
    if (byte === undefined || (i === MAX_VARINT_BYTES - 1 && byte > 1)) return undefined;
    value += (byte & 0x7f) * weight;
    if (value > Number.MAX_SAFE_INTEGER) return undefined;
    if (byte < 0x80) return { value, end: offset + i + 1 };
    weight *= 0x80;
  }
  return undefined;
}

/** Reads the 64-bit varint at `offset`; `undefined` when it is truncated or longer than 64 bits. Never throws. */
export function readVarint64(bytes: Uint8Array, offset = 0): Varint<bigint> | undefined {
  let value = 0n;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[offset + i];
    if (byte === undefined) return undefined;
    if (i === MAX_VARINT_BYTES - 1 && byte > 1) return undefined;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value, end: offset + i + 1 };
  }
  return undefined;
}
