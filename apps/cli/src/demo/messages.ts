/** What demo peers say to each other. Everything here comes from other processes, so nothing is taken on trust. */

import { type PeerId, concatBytes, decodeText, encodeText, encodeVarint, isPeerId, readVarint } from 'shoal';

/** Who a peer is and where. The addresses hold the PeerID, so a wrong one reaches nobody else. */
export interface PeerRecord {
  readonly id: PeerId;
  /** For people. */
  readonly name: string;
  readonly addrs: readonly string[];
}

/** A demo has as many peers as one table shows; more are not remembered. */
export const MAX_PEERS = 64;
const MAX_ADDRS = 8;
const MAX_TEXT = 256;
/** A hello with {@link MAX_PEERS} records, each as large as can be, would be larger; nobody sends one. */
const MAX_HELLO_BYTES = 65_536;

/** The first byte of every message. */
const KIND = { hello: 0x48, tell: 0x54, echo: 0x45, ask: 0x41 } as const;
type Kind = keyof typeof KIND;

const KINDS: ReadonlyMap<number, Kind> = new Map(Object.entries(KIND).map(([kind, byte]) => [byte, kind as Kind]));

/** A message with a number, and as much filling as its sender likes. */
export interface Numbered {
  readonly kind: 'tell' | 'echo' | 'ask';
  readonly seq: number;
}

/** The kind of a message by its first byte. */
export function kindOf(message: Uint8Array): Kind | undefined {
  return KINDS.get(message[0] ?? -1);
}

/** @param filling - further bytes, as many as the message is meant to be long. */
export function encodeNumbered(kind: Numbered['kind'], seq: number, filling: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(KIND[kind]), encodeVarint(seq), filling);
}

/** The same message, as another kind: an echo of a tell. */
export function asKind(kind: Numbered['kind'], message: Uint8Array): Uint8Array {
  const copy = message.slice();
  copy[0] = KIND[kind];
  return copy;
}

/** `undefined` when it is no numbered message. */
export function decodeNumbered(message: Uint8Array): Numbered | undefined {
  const kind = kindOf(message);
  const seq = readVarint(message, 1)?.value;
  return kind === undefined || kind === 'hello' || seq === undefined ? undefined : { kind, seq };
}

/** A request to know each other: who asks, and as the answer whom the other side knows. */
export function encodeHello(records: readonly PeerRecord[]): Uint8Array {
  return concatBytes(Uint8Array.of(KIND.hello), encodeText(JSON.stringify(records)));
}

/** The records of a hello that are in order, the first {@link MAX_PEERS} of them; `undefined` when it is none. */
export function decodeHello(message: Uint8Array): readonly PeerRecord[] | undefined {
  if (kindOf(message) !== 'hello' || message.length > MAX_HELLO_BYTES) return undefined;
  try {
    const parsed: unknown = JSON.parse(decodeText(message.subarray(1)) ?? '');
    return Array.isArray(parsed) ? parsed.slice(0, MAX_PEERS).filter(isRecord) : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is PeerRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { id, name, addrs } = value as Partial<Record<keyof PeerRecord, unknown>>;
  return (
    isPeerId(id) &&
    isShortText(name) &&
    Array.isArray(addrs) &&
    addrs.length <= MAX_ADDRS &&
    addrs.every((addr) => isShortText(addr) && addr.includes(id))
  );
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT && /^[\x20-\x7e]+$/.test(value);
}
