/** The little of protobuf (proto3) that P2PKE needs: varint and length-delimited fields; others are skipped. */

import { concatBytes, type Bytes } from '../../base/bytes.ts';
import { encodeVarint, readVarint, readVarint64 } from '../../base/varint.ts';

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** A varint field. */
export function varintField(number: number, value: number): Bytes {
  return concatBytes(encodeVarint(number * 8 + VARINT), encodeVarint(value));
}

/** A length-delimited field. */
export function bytesField(number: number, value: Uint8Array): Bytes {
  return concatBytes(encodeVarint(number * 8 + LENGTH_DELIMITED), encodeVarint(value.length), value);
}

/** The fields of a message. Of a field that comes more than once the last counts, as protobuf has it. */
export interface Fields {
  /** Bounded by the message's own bytes. */
  readonly varints: ReadonlyMap<number, number>;
  /** Views into the message. */
  readonly bytes: ReadonlyMap<number, Uint8Array>;
}

/** The fields in `message`, or `undefined` when it is no protobuf message. Never throws. */
export function decodeFields(message: Uint8Array): Fields | undefined {
  const varints = new Map<number, number>();
  const bytes = new Map<number, Uint8Array>();
  let offset = 0;
  while (offset < message.length) {
    const key = readVarint(message, offset);
    if (key === undefined || key.value < 8) return undefined; // field number 0 does not exist
    const number = Math.floor(key.value / 8);
    offset = key.end;
    switch (key.value % 8) {
      case VARINT: {
        const value = readVarint64(message, offset); // a field of ours is small, one we skip need not be
        if (value === undefined) return undefined;
        varints.set(number, Number(value.value));
        offset = value.end;
        break;
      }
      case LENGTH_DELIMITED: {
        const length = readVarint(message, offset);
        if (length === undefined || length.end + length.value > message.length) return undefined;
        bytes.set(number, message.subarray(length.end, length.end + length.value));
        offset = length.end + length.value;
        break;
      }
      case FIXED64:
        offset += 8;
        break;
      case FIXED32:
        offset += 4;
        break;
      default:
        return undefined;
    }
  }
  return offset === message.length ? { varints, bytes } : undefined;
}
