/** The compact form between shoal nodes. docs/wire/kademlia.md has the layout. */

import { allocMessage, type Bytes, copyInto, decodeText, encodeText, equalBytes, viewFrom } from '../../base/bytes.ts';
import { FieldReader } from '../../base/field-reader.ts';
import { varintLength, writeVarint } from '../../base/varint.ts';
import {
  FORM,
  type KadAnswer,
  type KadRequest,
  MAX_ANNOUNCED_KEYS,
  MAX_ANSWER_CONTACTS,
  MAX_ANSWER_RECORDS,
  MAX_CONTACT_BYTES,
  MAX_KEY_BYTES,
  MAX_PUT_ENTRIES,
  MAX_TTL_MS,
  MAX_VALUE_BYTES,
  type PutEntry,
  type Query,
  RECORD_VERDICTS,
  type Reply,
  type WireContact,
} from './messages.ts';
import { keyBytes, keyText, type KeyText, keyTextAt, POSITION_BYTES, TAG_BYTES } from './position.ts';

const VERSION = 1;
const OPS = ['ping', 'find', 'get', 'put', 'announce', 'record', 'providers'] as const;
const ANSWER = 0x80;
const WRONG_NETWORK = 0xff;
const FLAG = { client: 1 } as const;
/** The largest record of `discovery/peer-record.ts`. */
const MAX_RECORD_BYTES = 16_384;
/** Contacts that an answer may count; those beyond {@link MAX_ANSWER_CONTACTS} are skipped. */
const MAX_COUNTED = 65_535;

/** Whether a message is of this form; the JSON form begins with `{`. */
export function isBinary(bytes: Uint8Array): boolean {
  return bytes[0] === VERSION;
}

/** Collects fields; the parts are joined once. */
class Writer {
  readonly #parts: Uint8Array[] = []; // Bounded by the message.
  #bytes = 0;

  add(part: Uint8Array): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  numbers(...values: readonly number[]): void {
    let length = 0;
    for (const value of values) length += varintLength(value);
    const part = new Uint8Array(length);
    let at = 0;
    for (const value of values) at = writeVarint(part, at, value);
    this.add(part);
  }

  prefixed(bytes: Uint8Array): void {
    this.numbers(bytes.length);
    this.add(bytes);
  }

  joined(): Bytes {
    const bytes = allocMessage(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      copyInto(bytes, at, part);
      at += part.length;
    }
    return bytes;
  }
}

/** Writes a request. @param tag - of the network */
export function encodeRequest(tag: Bytes, { query, isClient, addr }: KadRequest): Bytes {
  const writer = new Writer();
  writer.add(Uint8Array.of(VERSION, OPS.indexOf(query.op), isClient ? FLAG.client : 0));
  writer.add(tag);
  writer.prefixed(encodeText(addr));
  switch (query.op) {
    case 'ping':
      break;
    case 'find':
      writer.add(keyBytes(query.position));
      writer.numbers(query.limit);
      break;
    case 'get':
      writer.prefixed(query.key);
      break;
    case 'put':
      writer.numbers(query.entries.length);
      for (const { key, value, ttlMs } of query.entries) {
        writer.prefixed(key);
        writer.prefixed(value);
        writer.numbers(ttlMs);
      }
      break;
    case 'announce':
      writer.prefixed(query.record ?? new Uint8Array(0));
      writer.numbers(query.ttlMs, query.positions.length);
      for (const position of query.positions) writer.add(keyBytes(position));
      break;
    case 'record':
      writer.add(keyBytes(query.peer));
      break;
    case 'providers':
      writer.add(keyBytes(query.position));
      break;
  }
  return writer.joined();
}

/**
 * Reads a request. `'wrong_network'` when its tag is another one; `undefined` when it is malformed. Never throws.
 *
 * @param tag - of the own network
 */
export function decodeRequest(tag: Bytes, bytes: Bytes): KadRequest | 'wrong_network' | undefined {
  const reader = new FieldReader(bytes);
  if (reader.byte() !== VERSION) return undefined;
  const op = OPS[reader.byte()];
  const flags = reader.byte();
  const theirs = reader.take(TAG_BYTES);
  if (reader.failed || op === undefined || flags > FLAG.client) return undefined;
  if (!equalBytes(theirs, tag)) return 'wrong_network';
  const addr = readAddr(reader);
  const query = readQuery(reader, op);
  if (query === undefined || addr === undefined || reader.failed || reader.at !== bytes.length) return undefined;
  return { query, isClient: flags === FLAG.client, addr };
}

function readQuery(reader: FieldReader, op: (typeof OPS)[number]): Query | undefined {
  switch (op) {
    case 'ping':
      return { op };
    case 'find':
      return { op, position: readKeyText(reader), limit: reader.varint() };
    case 'get':
      return { op, key: reader.prefixed(MAX_KEY_BYTES) };
    case 'put': {
      const count = reader.varint();
      if (count > MAX_PUT_ENTRIES) return undefined;
      const entries: PutEntry[] = []; // Bounded by MAX_PUT_ENTRIES.
      for (let i = 0; i < count && !reader.failed; i++) {
        const key = reader.prefixed(MAX_KEY_BYTES);
        const value = reader.prefixed(MAX_VALUE_BYTES);
        entries.push({ key, value, ttlMs: Math.min(reader.varint(), MAX_TTL_MS) });
      }
      return { op, entries };
    }
    case 'announce': {
      const record = reader.prefixed(MAX_RECORD_BYTES);
      const ttlMs = Math.min(reader.varint(), MAX_TTL_MS);
      const count = reader.varint();
      if (count > MAX_ANNOUNCED_KEYS) return undefined;
      const positions: KeyText[] = []; // Bounded by MAX_ANNOUNCED_KEYS.
      for (let i = 0; i < count && !reader.failed; i++) positions.push(readKeyText(reader));
      return { op, record: record.length === 0 ? undefined : record, positions, ttlMs };
    }
    case 'record':
      return { op, peer: readKeyText(reader) };
    case 'providers':
      break;
  }
  return { op, position: readKeyText(reader) };
}

/** Writes an answer. */
export function encodeAnswer({ reply, isClient, wallMs = 0 }: Omit<KadAnswer, 'isBinary' | 'surplus'>): Bytes {
  const writer = new Writer();
  const op = reply.op === 'wrong_network' ? WRONG_NETWORK : ANSWER | OPS.indexOf(reply.op);
  writer.add(Uint8Array.of(VERSION, op, isClient ? FLAG.client : 0));
  writer.numbers(Math.max(0, Math.floor(wallMs)));
  switch (reply.op) {
    case 'ping':
    case 'wrong_network':
      break;
    case 'find':
      writeContacts(writer, reply.contacts);
      break;
    case 'get':
      writer.numbers(reply.value === undefined ? 0 : 1);
      if (reply.value !== undefined) {
        writer.prefixed(reply.value);
        writer.numbers(Math.floor(reply.ttlMs));
      }
      writeContacts(writer, reply.contacts);
      break;
    case 'put':
      writer.numbers(reply.accepted.length);
      writer.add(Uint8Array.from(reply.accepted, Number));
      break;
    case 'announce':
      writer.numbers(RECORD_VERDICTS.indexOf(reply.record), reply.accepted);
      break;
    case 'record':
      writer.prefixed(reply.record ?? new Uint8Array(0));
      writeContacts(writer, reply.contacts);
      break;
    case 'providers':
      writer.numbers(reply.records.length);
      for (const record of reply.records) writer.prefixed(record);
      writeContacts(writer, reply.contacts);
      break;
  }
  return writer.joined();
}

/** Reads an answer; `undefined` when it is malformed. Never throws. */
export function decodeAnswer(bytes: Bytes): KadAnswer | undefined {
  const reader = new FieldReader(bytes);
  if (reader.byte() !== VERSION) return undefined;
  const code = reader.byte();
  const flags = reader.byte();
  const wallMs = reader.varint();
  if (reader.failed || flags > FLAG.client) return undefined;
  const surplus = { count: 0 };
  const reply = code === WRONG_NETWORK ? ({ op: 'wrong_network' } as const) : readReply(bytes, reader, code, surplus);
  if (reply === undefined || reader.failed || reader.at !== bytes.length) return undefined;
  return { reply, isClient: flags === FLAG.client, isBinary: true, wallMs, surplus: surplus.count };
}

function readReply(bytes: Bytes, reader: FieldReader, code: number, surplus: { count: number }): Reply | undefined {
  const op = code < ANSWER ? undefined : OPS[code - ANSWER];
  switch (op) {
    case undefined:
      return undefined;
    case 'ping':
      return { op };
    case 'find':
      return { op, contacts: readContacts(bytes, reader, surplus) };
    case 'get': {
      const has = reader.varint();
      if (has > 1) return undefined;
      const value = has === 1 ? reader.prefixed(MAX_VALUE_BYTES) : undefined;
      const ttlMs = has === 1 ? Math.min(reader.varint(), MAX_TTL_MS) : 0;
      return { op, value, ttlMs, contacts: readContacts(bytes, reader, surplus) };
    }
    case 'put': {
      const count = reader.varint();
      if (count > MAX_PUT_ENTRIES) return undefined;
      return { op, accepted: Array.from(reader.take(count), (byte) => byte === 1) };
    }
    case 'announce': {
      const record = RECORD_VERDICTS[reader.varint()];
      return record === undefined ? undefined : { op, record, accepted: reader.varint() };
    }
    case 'record': {
      const record = reader.prefixed(MAX_RECORD_BYTES);
      return { op, record: record.length === 0 ? undefined : record, contacts: readContacts(bytes, reader, surplus) };
    }
    case 'providers':
      break;
  }
  const count = reader.varint();
  if (count > MAX_ANSWER_RECORDS) return undefined;
  const records = Array.from({ length: count }, () => reader.prefixed(MAX_RECORD_BYTES));
  return { op, records, contacts: readContacts(bytes, reader, surplus) };
}

function writeContacts(writer: Writer, contacts: readonly WireContact[]): void {
  writer.numbers(contacts.length);
  let bytes = 0;
  for (const { addr } of contacts) bytes += POSITION_BYTES + 2 + 3 * addr.length;
  const part = new Uint8Array(bytes);
  let at = 0;
  for (const { id, addr, form } of contacts) {
    for (let i = 0; i < POSITION_BYTES; i++) part[at++] = id.charCodeAt(i);
    const text = isAscii(addr) ? undefined : encodeText(addr);
    const length = text?.length ?? addr.length;
    // The form and the length in one number: one byte for short addresses.
    at = writeVarint(part, at, 2 * length + (form === FORM.binary ? 1 : 0));
    if (text === undefined) for (let i = 0; i < length; i++) part[at++] = addr.charCodeAt(i);
    else {
      part.set(text, at);
      at += length;
    }
  }
  writer.add(part.subarray(0, at));
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

function readContacts(bytes: Bytes, reader: FieldReader, surplus: { count: number }): WireContact[] {
  const count = reader.varint();
  if (count > MAX_COUNTED) return reader.fail([]);
  const contacts: WireContact[] = []; // Bounded by MAX_ANSWER_CONTACTS.
  for (let i = 0; i < count && !reader.failed; i++) {
    const start = reader.at;
    if (start + POSITION_BYTES >= bytes.length) return reader.fail([]);
    reader.at += POSITION_BYTES;
    const length = reader.varint();
    const end = reader.at + (length >> 1);
    if (length > 2 * MAX_CONTACT_BYTES + 1 || end > bytes.length) return reader.fail([]);
    const addr = textAt(bytes, reader.at, end);
    if (addr === undefined) return reader.fail([]);
    reader.at = end;
    const form = length % 2 === 1 ? FORM.binary : FORM.unknown;
    if (contacts.length < MAX_ANSWER_CONTACTS) contacts.push({ id: keyTextAt(bytes, start), addr, form });
    else surplus.count++;
  }
  return contacts;
}

function readAddr(reader: FieldReader): string | undefined {
  const bytes = reader.prefixed(MAX_CONTACT_BYTES);
  return textAt(bytes, 0, bytes.length);
}

/** UTF-8; short texts of ASCII, as most addresses are, without a decoder. */
function textAt(bytes: Bytes, start: number, end: number): string | undefined {
  if (end - start > MAX_SHORT) return decodeText(viewFrom(bytes, start, end));
  SHORT.length = 0;
  for (let i = start; i < end; i++) {
    if (bytes[i]! > 127) return decodeText(viewFrom(bytes, start, end));
    SHORT.push(bytes[i]!);
  }
  return String.fromCharCode.apply(null, SHORT);
}

const MAX_SHORT = 64;
/** The characters of one short text. Bounded by {@link MAX_SHORT}. */
const SHORT: number[] = [];

function readKeyText(reader: FieldReader): KeyText {
  return keyText(reader.take(POSITION_BYTES));
}
