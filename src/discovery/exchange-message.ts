/** Requests and answers of peer exchange: the sender's time and a list of records. docs/wire/peer-exchange.md. */

import { type Bytes, concatBytes, viewFrom } from '../base/bytes.ts';
import { encodeVarint, readVarint } from '../base/varint.ts';
import { MAX_RECORD_BYTES } from './peer-record.ts';

/** Records in one message. */
export const MAX_RECORDS = 256;
const VERSION = 2;
/** Version, the longest form of the time, and two bytes for the largest count. */
const HEAD_BYTES = 1 + 8 + 2;

/** A decoded message. */
export interface ExchangeMessage {
  /** The sender's clock: milliseconds since the Unix epoch. */
  readonly sentMs: number;
  /** Views, unchecked. */
  readonly records: readonly Bytes[];
}

/**
 * Encodes the first records that fit within `maxBytes` and {@link MAX_RECORDS}.
 *
 * @param sentMs - milliseconds since the Unix epoch.
 */
export function encodeExchange(sentMs: number, records: readonly Uint8Array[], maxBytes: number): Bytes {
  const parts: Uint8Array[] = [];
  let bytes = HEAD_BYTES;
  for (const record of records) {
    if (parts.length >= MAX_RECORDS) break;
    const part = concatBytes(encodeVarint(record.length), record);
    if (bytes + part.length > maxBytes) break;
    bytes += part.length;
    parts.push(part);
  }
  return concatBytes(Uint8Array.of(VERSION), encodeVarint(Math.floor(sentMs)), encodeVarint(parts.length), ...parts);
}

/** Decodes a message; `undefined` when it is invalid. Never throws. */
export function decodeExchange(bytes: Bytes): ExchangeMessage | undefined {
  if (bytes[0] !== VERSION) return undefined;
  const sent = readVarint(bytes, 1);
  const count = sent === undefined ? undefined : readVarint(bytes, sent.end);
  if (sent === undefined || count === undefined || count.value > MAX_RECORDS) return undefined;
  const records: Bytes[] = [];
  let at = count.end;
  for (let i = 0; i < count.value; i++) {
    const length = readVarint(bytes, at);
    if (length === undefined || length.value > MAX_RECORD_BYTES) return undefined;
    at = length.end + length.value;
    if (at > bytes.length) return undefined;
    records.push(viewFrom(bytes, length.end, at));
  }
  return at === bytes.length ? { sentMs: sent.value, records } : undefined;
}
