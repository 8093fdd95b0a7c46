/** Hello, welcome and denied: how a path begins. Source: docs/wire/peers.md §2. */

import { type Bytes, copyBytes, encodeText, equalBytes } from '../../base/bytes.ts';
import { decodeReason } from '../../base/reason.ts';
import { readVarint, varintLength, writeVarint } from '../../base/varint.ts';
import {
  DATAGRAM_VERSION,
  ID_BYTES,
  MAX_ADDRESS_BYTES,
  MAX_ADDRESSES,
  MAX_REASON_BYTES,
  NETWORK_BYTES,
  PACKET,
} from './constants.ts';

/** The largest credit that is believed: it is what a sender may have out, and it never needs more. */
const MAX_WINDOW_BYTES = 2 ** 40;

/** Whether others can dial a peer. */
export type PeerKind = 'node' | 'client';

/** What a hello and a welcome say. */
export interface Hello {
  readonly oldest: number;
  readonly newest: number;
  readonly kind: PeerKind;
  /** `bootstrap`: the sender looks for anybody, and may be denied although it may connect. */
  readonly intent: 'connect' | 'bootstrap';
  /** Identifies the attempt. */
  readonly token: Bytes;
  /** The sender's session id. */
  readonly session: Bytes;
  /** The receiver's session id as the sender knows it. */
  readonly known: Bytes | undefined;
  readonly network: Bytes;
  /** Messages of the receiver that the sender has received in order. */
  readonly received: number;
  /** Bytes from the beginning of the next message that have come. */
  readonly partial: number;
  readonly maxMessageBytes: number;
  readonly tellWindow: number;
  readonly requestWindow: number;
  readonly streamsWindow: number;
  readonly streamWindow: number;
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
  /** The receiver's address as the sender sees it. */
  readonly seen: string;
  /** Where the sender says that others reach it. */
  readonly addrs: readonly string[];
  /** What the sender does for others: bits of `ABILITY`. Since version 2; 0 before. */
  readonly abilities: number;
}

/** A path that was refused. */
export interface Denied {
  readonly token: Bytes;
  readonly code: number;
  readonly reason: string;
}

const MAGIC: Bytes = encodeText('shp1');
const NO_SESSION: Bytes = new Uint8Array(ID_BYTES);
const NUMBERS = [
  'received',
  'partial',
  'maxMessageBytes',
  'tellWindow',
  'requestWindow',
  'streamsWindow',
  'streamWindow',
  'wallMs',
] as const;
const FIXED_BYTES = 1 + MAGIC.length + 4 + 3 * ID_BYTES + NETWORK_BYTES;

/** Writes a hello or a welcome. Addresses beyond the limits are left out. */
export function encodeHello(type: 'hello' | 'welcome', hello: Hello): Bytes {
  const seen = shortText(hello.seen) ?? new Uint8Array(0);
  const addrs: Bytes[] = [];
  for (const addr of hello.addrs) {
    const text = shortText(addr);
    if (text !== undefined && addrs.length < MAX_ADDRESSES) addrs.push(text);
  }
  let length = FIXED_BYTES + 2 + seen.length;
  for (const name of NUMBERS) length += varintLength(hello[name]);
  for (const addr of addrs) length += 1 + addr.length;
  if (hello.newest >= DATAGRAM_VERSION) length += varintLength(hello.abilities);
  const packet = new Uint8Array(length);
  packet[0] = type === 'hello' ? PACKET.HELLO : PACKET.WELCOME;
  packet.set(MAGIC, 1);
  let at = 1 + MAGIC.length;
  packet[at++] = hello.oldest;
  packet[at++] = hello.newest;
  packet[at++] = hello.kind === 'node' ? 0 : 1;
  packet[at++] = hello.intent === 'connect' ? 0 : 1;
  for (const bytes of [hello.token, hello.session, hello.known ?? NO_SESSION, hello.network]) {
    packet.set(bytes, at);
    at += bytes.length;
  }
  for (const name of NUMBERS) at = writeVarint(packet, at, hello[name]);
  packet[at++] = seen.length;
  packet.set(seen, at);
  at += seen.length;
  packet[at++] = addrs.length;
  for (const addr of addrs) {
    packet[at++] = addr.length;
    packet.set(addr, at);
    at += addr.length;
  }
  if (hello.newest >= DATAGRAM_VERSION) writeVarint(packet, at, hello.abilities);
  return packet;
}

/** Reads a hello or a welcome; `undefined` when it is malformed. Bytes of later versions behind it are ignored. */
export function decodeHello(packet: Uint8Array): Hello | undefined {
  if (packet.length < FIXED_BYTES || !equalBytes(packet.subarray(1, 1 + MAGIC.length), MAGIC)) return undefined;
  let at = 1 + MAGIC.length;
  const [oldest, newest, kind, intent] = packet.subarray(at, at + 4) as unknown as [number, number, number, number];
  at += 4;
  if (oldest > newest || kind > 1 || intent > 1) return undefined;
  const take = (length: number): Bytes => copyBytes(packet.subarray(at, (at += length)));
  const token = take(ID_BYTES);
  const session = take(ID_BYTES);
  const known = take(ID_BYTES);
  const network = take(NETWORK_BYTES);
  if (equalBytes(session, NO_SESSION)) return undefined;
  const numbers: Partial<Record<(typeof NUMBERS)[number], number>> = {};
  for (const name of NUMBERS) {
    const read = readVarint(packet, at);
    if (read === undefined) return undefined;
    numbers[name] = read.value;
    at = read.end;
  }
  const { tellWindow, requestWindow, streamsWindow, streamWindow } = numbers as Hello;
  if (Math.max(tellWindow, requestWindow, streamsWindow, streamWindow) > MAX_WINDOW_BYTES) return undefined;
  const seen = readText(packet, at);
  if (seen === undefined) return undefined;
  at += 1 + packet[at]!;
  const count = packet[at++];
  if (count === undefined || count > MAX_ADDRESSES) return undefined;
  const addrs: string[] = [];
  for (let i = 0; i < count; i++) {
    const addr = readText(packet, at);
    if (addr === undefined) return undefined;
    addrs.push(addr);
    at += 1 + packet[at]!;
  }
  const abilities = newest >= DATAGRAM_VERSION ? readVarint(packet, at)?.value : 0;
  if (abilities === undefined) return undefined;
  return {
    ...(numbers as Record<(typeof NUMBERS)[number], number>),
    oldest,
    newest,
    kind: kind === 0 ? 'node' : 'client',
    intent: intent === 0 ? 'connect' : 'bootstrap',
    token,
    session,
    known: equalBytes(known, NO_SESSION) ? undefined : known,
    network,
    seen,
    addrs,
    abilities,
  };
}

/** Writes a denial; the reason is cut where it is too long. */
export function encodeDenied({ token, code, reason }: Denied): Bytes {
  const text = cutText(reason);
  const packet = new Uint8Array(2 + ID_BYTES + text.length);
  packet[0] = PACKET.DENIED;
  packet.set(token, 1);
  packet[1 + ID_BYTES] = code;
  packet.set(text, 2 + ID_BYTES);
  return packet;
}

/** Reads a denial; `undefined` when it is malformed. */
export function decodeDenied(packet: Uint8Array): Denied | undefined {
  const start = 2 + ID_BYTES;
  if (packet.length < start || packet.length > start + MAX_REASON_BYTES) return undefined;
  const reason = decodeReason(packet.subarray(start));
  if (reason === undefined) return undefined;
  return { token: copyBytes(packet.subarray(1, 1 + ID_BYTES)), code: packet[1 + ID_BYTES]!, reason };
}

/** A reason of at most 256 bytes of UTF-8. */
export function cutText(reason: string): Bytes {
  let cut = reason.slice(0, MAX_REASON_BYTES);
  while (encodeText(cut).length > MAX_REASON_BYTES) cut = cut.slice(0, -1);
  return encodeText(cut);
}

function shortText(text: string): Bytes | undefined {
  const bytes = encodeText(text);
  return bytes.length > MAX_ADDRESS_BYTES ? undefined : bytes;
}

/** The text at `at`, behind its length; without control characters, because it is shown. */
function readText(packet: Uint8Array, at: number): string | undefined {
  const length = packet[at];
  if (length === undefined || at + 1 + length > packet.length) return undefined;
  return decodeReason(packet.subarray(at + 1, at + 1 + length));
}
