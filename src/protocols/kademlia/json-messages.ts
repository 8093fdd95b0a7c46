/**
 * The form of go-p2p: JSON objects without a frame, told apart by their members. Members beyond those of go-p2p, which its
 * reader ignores: `network`, `client`, `addr`, and `shoal` (the version of the binary form that the sender speaks too).
 */

import { type Bytes, decodeText, encodeText } from '../../base/bytes.ts';
import { decodePeerId, encodePeerId } from '../../core/peer-id.ts';
import { TIMESTAMP_BYTES } from '../p2pke/constants.ts';
import { encodeTai64n, tai64nMs } from '../p2pke/tai64n.ts';
import { type Json, jsonObject, type JsonObject, readJson, writeJson } from './json.ts';
import {
  FORM,
  type KadAnswer,
  type KadRequest,
  MAX_ANSWER_CONTACTS,
  MAX_CONTACT_BYTES,
  MAX_KEY_BYTES,
  MAX_TTL_MS,
  MAX_VALUE_BYTES,
  packAddr,
  type Query,
  type Reply,
  unpackAddr,
  type WireContact,
} from './messages.ts';
import { keyBytes, keyText, type KeyText } from './position.ts';

/** The version of the binary form, the value of `shoal`. */
const BINARY_VERSION = 1n;
/** The first second after the year 9999 in TAI64; later labels are taken as malformed. */
const MAX_TAI64_S: bigint = 2n ** 62n + 253_402_300_837n;

/** What a JSON request of a sender may contain; `announce`, `record` and `providers` have no JSON form. */
export type JsonQuery = Extract<Query, { readonly op: 'ping' | 'find' | 'get' | 'put' }>;

/** Writes a request, or `undefined` when this form has none for it. */
export function encodeJsonRequest(
  networkName: string,
  { query, isClient, addr }: KadRequest,
  saysBinary: boolean,
): Bytes | undefined {
  const members = queryMembers(query);
  if (members === undefined) return undefined;
  const more = {
    network: networkName === '' ? undefined : networkName,
    client: isClient ? true : undefined,
    addr: addr === '' ? undefined : addr,
    shoal: saysBinary ? BINARY_VERSION : undefined,
  };
  return encodeText(writeJson(jsonObject({ ...members, ...more })));
}

function queryMembers(query: Query): Record<string, Json> | undefined {
  switch (query.op) {
    case 'ping':
      return {};
    case 'find':
      if (query.peer === undefined) return undefined;
      return { target: encodePeerId(keyBytes(query.peer)), limit: BigInt(query.limit) };
    case 'get':
      return { key: toBase64(query.key) };
    case 'put': {
      const [entry] = query.entries;
      if (entry === undefined || query.entries.length > 1) return undefined;
      return { key: toBase64(entry.key), value: toBase64(entry.value), ttl_ms: BigInt(entry.ttlMs) };
    }
    case 'announce':
    case 'record':
    case 'providers':
      break;
  }
  return undefined;
}

/**
 * Reads a request. `'wrong_network'` when it names another network; `undefined` when it is malformed. Never throws.
 *
 * @param ofPeer - the position of a raw PeerID
 */
export function decodeJsonRequest(
  networkName: string,
  bytes: Uint8Array,
  ofPeer: (peer: KeyText) => KeyText,
): { readonly request: KadRequest; readonly isBinary: boolean } | 'wrong_network' | undefined {
  const json = objectOf(readJson(bytes));
  if (json === undefined) return undefined;
  if ((json.get('network') ?? '') !== networkName) return 'wrong_network';
  const addr = json.get('addr') ?? '';
  const query = readQuery(json, ofPeer);
  if (query === undefined || typeof addr !== 'string' || addr.length > MAX_CONTACT_BYTES) return undefined;
  const request = { query, isClient: json.get('client') === true, addr };
  return { request, isBinary: json.get('shoal') === BINARY_VERSION };
}

function readQuery(json: JsonObject, ofPeer: (peer: KeyText) => KeyText): JsonQuery | undefined {
  if (json.has('target')) {
    const target = json.get('target');
    const id = typeof target === 'string' ? decodePeerId(target) : undefined;
    const limit = countOf(json.get('limit') ?? 0n);
    if (id === undefined || limit === undefined) return undefined;
    const peer = keyText(id);
    return { op: 'find', position: ofPeer(peer), peer, limit };
  }
  if (!json.has('key')) return { op: 'ping' };
  const key = fromBase64(json.get('key') ?? null, MAX_KEY_BYTES);
  if (key === undefined || key.length === 0) return undefined;
  if (!json.has('value')) return { op: 'get', key };
  const value = fromBase64(json.get('value') ?? null, MAX_VALUE_BYTES);
  const ttlMs = countOf(json.get('ttl_ms') ?? 0n);
  if (value === undefined || ttlMs === undefined) return undefined;
  return { op: 'put', entries: [{ key, value, ttlMs: Math.min(ttlMs, MAX_TTL_MS) }] };
}

/**
 * Writes an answer, or `undefined` when this form has none for it.
 *
 * @param wallMs - the own clock, which times of expiry refer to.
 */
export function encodeJsonAnswer({
  reply,
  isClient,
  wallMs = 0,
}: Omit<KadAnswer, 'isBinary' | 'surplus'>): Bytes | undefined {
  const members = replyMembers(reply, wallMs);
  if (members === undefined) return undefined;
  const more = { client: isClient ? true : undefined };
  return encodeText(writeJson(jsonObject({ ...members, ...more })));
}

function replyMembers(reply: Reply, wallMs: number): Record<string, Json> | undefined {
  switch (reply.op) {
    case 'ping':
      return { timestamp: timeOf(wallMs) };
    case 'find':
      return { nodes: nodesOf(reply.contacts) };
    case 'get': {
      const { value, ttlMs, contacts } = reply;
      const expires = value === undefined ? jsonObject({ s: 0n, ns: 0n }) : timeOf(wallMs + ttlMs);
      return {
        value: value === undefined ? null : toBase64(value),
        expires_at: expires,
        closer: nodesOf(contacts),
      };
    }
    case 'put':
      return { accepted: reply.accepted[0] === true, closer: null };
    case 'announce':
    case 'record':
    case 'providers':
    case 'wrong_network':
      break;
  }
  return undefined;
}

/** Reads the answer to a request with `op`; `undefined` when it is malformed. Never throws. */
export function decodeJsonAnswer(op: Query['op'], bytes: Uint8Array, wallMs: number): KadAnswer | undefined {
  const json = objectOf(readJson(bytes));
  if (json === undefined) return undefined;
  const surplus = { count: 0 };
  const read = readReply(op, json, wallMs, surplus);
  if (read === undefined) return undefined;
  return { ...read, isClient: json.get('client') === true, isBinary: false, surplus: surplus.count };
}

function readReply(
  op: Query['op'],
  json: JsonObject,
  wallMs: number,
  surplus: { count: number },
): Pick<KadAnswer, 'reply' | 'wallMs'> | undefined {
  switch (op) {
    case 'ping': {
      const theirs = msOf(json.get('timestamp'));
      return theirs === undefined ? undefined : { reply: { op }, wallMs: theirs };
    }
    case 'find': {
      const contacts = json.has('nodes') ? readNodes(json.get('nodes'), surplus) : undefined;
      return contacts === undefined ? undefined : { reply: { op, contacts }, wallMs: undefined };
    }
    case 'get': {
      const contacts = readNodes(json.get('closer'), surplus);
      const given = json.get('value');
      const value = given === null || given === undefined ? undefined : fromBase64(given, MAX_VALUE_BYTES);
      if (contacts === undefined || (value === undefined && typeof given === 'string')) return undefined;
      // go-p2p never fills the time of expiry: such a value is taken to live for its longest time there.
      const expiresMs = msOf(json.get('expires_at'));
      const ttlMs =
        expiresMs === undefined ? GO_MAX_DATA_TTL_MS : Math.min(Math.max(expiresMs - wallMs, 0), MAX_TTL_MS);
      return { reply: { op, value, ttlMs: value === undefined ? 0 : ttlMs, contacts }, wallMs: undefined };
    }
    case 'put': {
      const accepted = json.get('accepted');
      if (typeof accepted !== 'boolean') return undefined;
      return { reply: { op, accepted: [accepted] }, wallMs: undefined };
    }
    case 'announce':
    case 'record':
    case 'providers':
      break;
  }
  return undefined;
}

/** go-p2p's `MaxDataTTL`. */
const GO_MAX_DATA_TTL_MS = 300_000;

function nodesOf(contacts: readonly WireContact[]): Json {
  if (contacts.length === 0) return null;
  return contacts.map(({ id, addr }) => {
    const text = encodePeerId(keyBytes(id));
    return jsonObject({ id: text, info: toBase64(encodeText(unpackAddr(addr, text))) });
  });
}

function readNodes(nodes: Json | undefined, surplus: { count: number }): WireContact[] | undefined {
  if (nodes === null || nodes === undefined) return [];
  if (!Array.isArray(nodes)) return undefined;
  const contacts: WireContact[] = []; // Bounded by MAX_ANSWER_CONTACTS.
  for (const node of nodes as readonly Json[]) {
    if (contacts.length >= MAX_ANSWER_CONTACTS) {
      surplus.count++;
      continue;
    }
    const object = objectOf(node);
    const id = object?.get('id');
    const raw = typeof id === 'string' ? decodePeerId(id) : undefined;
    const info = fromBase64(object?.get('info') ?? null, MAX_CONTACT_BYTES);
    const addr = info === undefined ? undefined : decodeText(info);
    if (raw === undefined || addr === undefined) return undefined;
    contacts.push({ id: keyText(raw), addr: packAddr(addr, id as string), form: FORM.unknown });
  }
  return contacts;
}

function objectOf(json: Json | undefined): JsonObject | undefined {
  return json instanceof Map ? (json as JsonObject) : undefined;
}

/** A count that is exact as a number; larger ones become the largest. */
function countOf(json: Json): number | undefined {
  if (typeof json !== 'bigint' || json < 0n) return undefined;
  return json > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(json);
}

/** A TAI64N label as an object. */
function timeOf(wallMs: number): JsonObject {
  const whole = Math.max(0, Math.floor(wallMs));
  const label = new DataView(encodeTai64n(Math.floor(whole / 1000), (whole % 1000) * 1_000_000).buffer);
  return jsonObject({ s: label.getBigUint64(0), ns: BigInt(label.getUint32(8)) });
}

/** Milliseconds since the Unix epoch; `undefined` for what is no label, and for the zero label, which go-p2p writes for none. */
function msOf(json: Json | undefined): number | undefined {
  const label = objectOf(json);
  const [s, ns] = [label?.get('s'), label?.get('ns')];
  if (typeof s !== 'bigint' || typeof ns !== 'bigint' || ns < 0n || ns > 999_999_999n) return undefined;
  if (s < 2n ** 62n || s > MAX_TAI64_S) return undefined;
  const bytes = new Uint8Array(TIMESTAMP_BYTES);
  new DataView(bytes.buffer).setBigUint64(0, s);
  new DataView(bytes.buffer).setUint32(8, Number(ns));
  return tai64nMs(bytes);
}

/** Standard base64 with padding (RFC 4648 §4), as Go's `encoding/json` writes byte slices. */
function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Go writes an empty slice as `""`, and none as `null`; both are no bytes. */
function fromBase64(json: Json, maxBytes: number): Bytes | undefined {
  if (json === null) return new Uint8Array(0);
  if (typeof json !== 'string' || json.length > 4 * Math.ceil(maxBytes / 3)) return undefined;
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(json)) return undefined;
  const bytes = Uint8Array.from(atob(json), (character) => character.charCodeAt(0));
  return bytes.length > maxBytes ? undefined : bytes;
}
