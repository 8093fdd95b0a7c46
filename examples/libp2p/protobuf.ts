/** As much of protobuf as libp2p's handshakes need: varints and length-delimited fields. */

import type { Bytes } from 'shoal';
import { concatBytes, encodeVarint, readVarint } from 'shoal/bytes';

const VARINT = 0;
const BYTES = 2;

/** One field. */
export function field(number: number, value: Uint8Array | number): Bytes {
  if (typeof value === 'number') return concatBytes(encodeVarint(number * 8 + VARINT), encodeVarint(value));
  return concatBytes(encodeVarint(number * 8 + BYTES), encodeVarint(value.length), value);
}

/** A message's fields by number; of each kind those that came, in order. */
export interface Fields {
  readonly bytes: ReadonlyMap<number, readonly Bytes[]>;
  readonly numbers: ReadonlyMap<number, number>;
}

/** `undefined` when it is no message. Never throws. */
export function decodeFields(message: Uint8Array): Fields | undefined {
  const bytes = new Map<number, Bytes[]>(); // Bounded by the message.
  const numbers = new Map<number, number>();
  for (let at = 0; at < message.length;) {
    const tag = readVarint(message, at);
    const value = tag === undefined ? undefined : readVarint(message, tag.end);
    if (tag === undefined || value === undefined) return undefined;
    const number = Math.floor(tag.value / 8);
    at = value.end;
    if (tag.value % 8 === VARINT) numbers.set(number, value.value);
    else if (tag.value % 8 !== BYTES || at + value.value > message.length) return undefined;
    else {
      bytes.set(number, [...(bytes.get(number) ?? []), message.slice(at, at + value.value)]);
      at += value.value;
    }
  }
  return { bytes, numbers };
}
