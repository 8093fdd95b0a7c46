/** Requests and answers of peer exchange: lists of records. docs/wire/peer-exchange.md. */

import { type Bytes, concatBytes, viewFrom } from '../core/bytes.ts';
import { encodeVarint, readVarint } from '../core/varint.ts';
import { MAX_RECORD_BYTES } from './peer-record.ts';

/** Records in one message. */
export const MAX_RECORDS = 256;
const VERSION = 1;

/** A message that holds as many of the records, from the first on, as `maxBytes` and {@link MAX_RECORDS} allow. */
export function encodeRecords(records: readonly Uint8Array[], maxBytes: number): Bytes {
  const parts: Uint8Array[] = [];
  // Version, and the two bytes that the largest count takes.
  let bytes = 3;
  for (const record of records) {
    if (parts.length >= MAX_RECORDS) break;
    const part = concatBytes(encodeVarint(record.length), record);
    if (bytes + part.length > maxBytes) break;
    bytes += part.length;
    parts.push(part);
  }
  return concatBytes(Uint8Array.of(VERSION), encodeVarint(parts.length), ...parts);
}

/** The records in a message, as views and unchecked; `undefined` when it is none. Never throws. */
export function decodeRecords(message: Bytes): Bytes[] | undefined {
  const count = readVarint(message, 1);
  if (message[0] !== VERSION || count === undefined || count.value > MAX_RECORDS) return undefined;
  const records: Bytes[] = [];
  let at = count.end;
  for (let i = 0; i < count.value; i++) {
    const length = readVarint(message, at);
    if (length === undefined || length.value > MAX_RECORD_BYTES) return undefined;
    at = length.end + length.value;
    if (at > message.length) return undefined;
    records.push(viewFrom(message, length.end, at));
  }
  return at === message.length ? records : undefined;
}
