/** What demo peers say to each other. Everything here comes from other processes, so everything is checked. */

import { concatBytes, decodeText, encodeText, encodeVarint, readVarint } from 'shoal/bytes';

const MAX_NAME = 256;

/** The first byte of every message. */
const KIND = { hello: 0x48, tell: 0x54, echo: 0x45, ask: 0x41, blob: 0x42, hash: 0x43 } as const;
type Kind = keyof typeof KIND;

const KINDS: ReadonlyMap<number, Kind> = new Map(Object.entries(KIND).map(([kind, byte]) => [byte, kind as Kind]));

/** A message with a number, and as much filling as its sender likes. */
export interface Numbered {
  readonly kind: 'tell' | 'echo' | 'ask';
  readonly seq: number;
}

/** A piece of the bytes that a peer has for others to fetch. */
export interface BlobRequest {
  readonly offset: number;
  readonly length: number;
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
  if (kind !== 'tell' && kind !== 'echo' && kind !== 'ask') return undefined;
  const seq = readVarint(message, 1)?.value;
  return seq === undefined ? undefined : { kind, seq };
}

/** Who this is, for people: the question and the answer are the same. */
export function encodeHello(name: string): Uint8Array {
  return concatBytes(Uint8Array.of(KIND.hello), encodeText(name));
}

/** The name in a hello; `undefined` when it cannot be shown. */
export function decodeHello(message: Uint8Array): string | undefined {
  if (kindOf(message) !== 'hello' || message.length > 1 + MAX_NAME) return undefined;
  const name = decodeText(message.subarray(1));
  return name !== undefined && /^[\x20-\x7e]+$/.test(name) ? name : undefined;
}

export function encodeBlobRequest({ offset, length }: BlobRequest): Uint8Array {
  return concatBytes(Uint8Array.of(KIND.blob), encodeVarint(offset), encodeVarint(length));
}

/** `undefined` for anything else. */
export function decodeBlobRequest(message: Uint8Array): BlobRequest | undefined {
  const offset = readVarint(message, 1);
  const length = offset && readVarint(message, offset.end);
  if (kindOf(message) !== 'blob' || length?.end !== message.length) return undefined;
  return { offset: offset!.value, length: length.value };
}

/** Asks for the SHA-256 of those bytes. */
export const HASH_REQUEST: Uint8Array = Uint8Array.of(KIND.hash);
