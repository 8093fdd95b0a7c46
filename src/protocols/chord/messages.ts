/** The messages between the nodes of a ring. Source: docs/wire/chord.md. Readers return `undefined` for invalid bytes; they never throw. */

import { type Bytes, concatBytes, copyBytes, decodeText, encodeText, equalBytes } from '../../base/bytes.ts';
import { FieldReader } from '../../base/field-reader.ts';
import { encodeVarint } from '../../base/varint.ts';

/** Bytes of a place on the ring. */
export const CHORD_ID_BYTES = 32;
/** Bytes that say which network a message belongs to. */
export const CHORD_TAG_BYTES = 8;
/** Bytes of an address as text. */
export const MAX_ADDR_BYTES = 512;
/** Addresses in one answer. */
export const MAX_ADDRS = 32;
/** The largest message. */
export const MAX_CHORD_BYTES: number = 64 + MAX_ADDRS * (MAX_ADDR_BYTES + 2);

const VERSION = 1;
const TYPE = { STATE: 1, NOTIFY: 2, FIND: 3 } as const;
const KIND = { OWNERS: 1, CLOSER: 2 } as const;

/** What a node asks another one. */
export type ChordRequest =
  /** Who is before you, and who are behind you? */
  | { readonly type: 'state' }
  /** I may be before you. */
  | { readonly type: 'notify'; readonly addr: string }
  /** Who has this key? */
  | { readonly type: 'find'; readonly key: Bytes };

/** The neighbours of a node. */
export interface ChordNeighbours {
  readonly predecessor: string | undefined;
  /** From the nearest on. */
  readonly successors: readonly string[];
}

/** What a node knows of a key: who has it, or who is closer before it. */
export interface ChordFound {
  readonly kind: 'owners' | 'closer';
  readonly addrs: readonly string[];
}

export function encodeRequest(tag: Uint8Array, request: ChordRequest): Bytes {
  const head = (type: number): Bytes => concatBytes(Uint8Array.of(VERSION, type), tag);
  if (request.type === 'state') return head(TYPE.STATE);
  if (request.type === 'notify') return concatBytes(head(TYPE.NOTIFY), field(request.addr));
  return concatBytes(head(TYPE.FIND), request.key);
}

/** @param tag - that of the own network; requests of others are invalid. */
export function readRequest(bytes: Bytes, tag: Uint8Array): ChordRequest | undefined {
  if (bytes.length > MAX_CHORD_BYTES) return undefined;
  const reader = new FieldReader(bytes);
  const [version, type] = [reader.byte(), reader.byte()];
  const given = reader.take(CHORD_TAG_BYTES);
  if (reader.failed || version !== VERSION || !equalBytes(given, tag)) return undefined;
  let request: ChordRequest | undefined;
  if (type === TYPE.STATE) request = { type: 'state' };
  else if (type === TYPE.FIND) request = { type: 'find', key: copyBytes(reader.take(CHORD_ID_BYTES)) };
  else if (type === TYPE.NOTIFY) {
    const addr = readAddr(reader);
    request = addr === undefined ? undefined : { type: 'notify', addr };
  }
  return reader.failed || reader.at !== bytes.length ? undefined : request;
}

export function encodeNeighbours({ predecessor, successors }: ChordNeighbours): Bytes {
  return concatBytes(Uint8Array.of(VERSION), field(predecessor ?? ''), list(successors));
}

export function readNeighbours(bytes: Bytes): ChordNeighbours | undefined {
  const reader = begin(bytes);
  const predecessor = reader && readText(reader);
  const successors = reader && readList(reader);
  if (predecessor === undefined || successors === undefined || reader!.at !== bytes.length) return undefined;
  return { predecessor: predecessor === '' ? undefined : predecessor, successors };
}

export function encodeFound({ kind, addrs }: ChordFound): Bytes {
  return concatBytes(Uint8Array.of(VERSION, kind === 'owners' ? KIND.OWNERS : KIND.CLOSER), list(addrs));
}

export function readFound(bytes: Bytes): ChordFound | undefined {
  const reader = begin(bytes);
  const kind = reader?.byte();
  const addrs = reader && readList(reader);
  if (addrs === undefined || reader!.at !== bytes.length) return undefined;
  if (kind === KIND.OWNERS) return { kind: 'owners', addrs };
  return kind === KIND.CLOSER ? { kind: 'closer', addrs } : undefined;
}

function begin(bytes: Bytes): FieldReader | undefined {
  if (bytes.length > MAX_CHORD_BYTES) return undefined;
  const reader = new FieldReader(bytes);
  return reader.byte() === VERSION ? reader : undefined;
}

function field(text: string): Bytes {
  const bytes = encodeText(text);
  return concatBytes(encodeVarint(bytes.length), bytes);
}

function list(addrs: readonly string[]): Bytes {
  return concatBytes(Uint8Array.of(addrs.length), ...addrs.map(field));
}

function readText(reader: FieldReader): string | undefined {
  const text = decodeText(reader.prefixed(MAX_ADDR_BYTES));
  return reader.failed ? undefined : text;
}

function readAddr(reader: FieldReader): string | undefined {
  const text = readText(reader);
  return text === '' ? undefined : text;
}

function readList(reader: FieldReader): readonly string[] | undefined {
  const count = reader.byte();
  if (reader.failed || count > MAX_ADDRS) return undefined;
  const addrs: string[] = [];
  for (let i = 0; i < count; i++) {
    const addr = readAddr(reader);
    if (addr === undefined) return undefined;
    addrs.push(addr);
  }
  return addrs;
}
