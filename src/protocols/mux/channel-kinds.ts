/** The encodings of channel ids before a message. docs/wire/mux.md §1; the same bytes as go-p2p's p2pmux. */

import { type Bytes, decodeText, encodeText } from '../../base/bytes.ts';
import { describeValue } from '../../base/checks.ts';
import { encodeVarint64, readVarint, readVarint64, varintLength, writeVarint } from '../../base/varint.ts';

/** A decoded channel id, and the start of the payload. */
export interface ChannelHeader<Id> {
  readonly id: Id;
  readonly end: number;
}

/** An encoding of channel ids. Equal ids have equal bytes. */
export interface ChannelKind<Id> {
  /** A readable name: `string`, `u16` … */
  readonly name: string;
  /** @throws {TypeError | RangeError} when `id` is not an id of this kind. */
  encode(id: Id): Bytes;
  /** `undefined` when `message` does not begin with an id. Never throws. */
  decode(message: Uint8Array): ChannelHeader<Id> | undefined;
}

function wholeId(id: unknown, name: string, max: number): number {
  if (typeof id !== 'number')
    throw new TypeError(`Cannot take ${name} channel id: expected a number, got ${describeValue(id)}`);
  if (!Number.isInteger(id) || id < 0 || id > max) {
    throw new RangeError(`Cannot take ${name} channel id: expected a whole number from 0 to ${max}, got ${id}`);
  }
  return id;
}

function wideId(id: unknown, name: string): bigint {
  if (typeof id !== 'number' && typeof id !== 'bigint') {
    throw new TypeError(`Cannot take ${name} channel id: expected a number or a bigint, got ${describeValue(id)}`);
  }
  if (typeof id === 'number' && !Number.isSafeInteger(id)) {
    throw new RangeError(
      `Cannot take ${name} channel id: expected a whole number up to 2^53 - 1, or a bigint, got ${id}`,
    );
  }
  const wide = BigInt(id);
  if (wide < 0n || wide > 0xffff_ffff_ffff_ffffn) {
    throw new RangeError(`Cannot take ${name} channel id: expected 0 to 2^64 - 1, got ${wide}`);
  }
  return wide;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** uvarint length in bytes ‖ UTF-8. */
const string: ChannelKind<string> = {
  name: 'string',
  encode: (id) => {
    if (typeof id !== 'string')
      throw new TypeError(`Cannot take string channel id: expected a string, got ${describeValue(id)}`);
    if (!id.isWellFormed()) {
      throw new TypeError(`Cannot take string channel id: ${describeValue(id)} has half a surrogate pair`);
    }
    const text = encodeText(id);
    const header = new Uint8Array(varintLength(text.length) + text.length);
    header.set(text, writeVarint(header, 0, text.length));
    return header;
  },
  decode: (message) => {
    const length = readVarint(message);
    if (length === undefined || length.value > message.length - length.end) return undefined;
    const end = length.end + length.value;
    const id = decodeText(message.subarray(length.end, end));
    return id === undefined ? undefined : { id, end };
  },
};

/** Two bytes, big-endian. */
const u16: ChannelKind<number> = {
  name: 'u16',
  encode: (id) => {
    const header = new Uint8Array(2);
    viewOf(header).setUint16(0, wholeId(id, 'u16', 0xffff));
    return header;
  },
  decode: (message) => (message.length < 2 ? undefined : { id: viewOf(message).getUint16(0), end: 2 }),
};

/** Four bytes, big-endian. */
const u32: ChannelKind<number> = {
  name: 'u32',
  encode: (id) => {
    const header = new Uint8Array(4);
    viewOf(header).setUint32(0, wholeId(id, 'u32', 0xffff_ffff));
    return header;
  },
  decode: (message) => (message.length < 4 ? undefined : { id: viewOf(message).getUint32(0), end: 4 }),
};

/** Eight bytes, big-endian. */
const u64: ChannelKind<number | bigint> = {
  name: 'u64',
  encode: (id) => {
    const header = new Uint8Array(8);
    viewOf(header).setBigUint64(0, wideId(id, 'u64'));
    return header;
  },
  decode: (message) => (message.length < 8 ? undefined : { id: viewOf(message).getBigUint64(0), end: 8 }),
};

/** A uvarint. Overlong forms of an id are equal to it. */
const varint: ChannelKind<number | bigint> = {
  name: 'varint',
  encode: (id) => encodeVarint64(wideId(id, 'varint')),
  decode: (message) => {
    const id = readVarint64(message);
    return id === undefined ? undefined : { id: id.value, end: id.end };
  },
};

/** All built-in kinds. */
export const channelKinds: {
  readonly string: ChannelKind<string>;
  readonly u16: ChannelKind<number>;
  readonly u32: ChannelKind<number>;
  readonly u64: ChannelKind<number | bigint>;
  readonly varint: ChannelKind<number | bigint>;
} = { string, u16, u32, u64, varint };
