/** What demo peers say to each other. Everything here comes from other processes, so everything is checked. */

import { concatBytes, decodeText, encodeText, encodeVarint, readVarint } from 'shoal/bytes';

const MAX_NAME = 256;

/** The first byte of every message. */
const KIND = { hello: 0x48, tell: 0x54, echo: 0x45, ask: 0x41 } as const;
type Kind = keyof typeof KIND;

const KINDS: ReadonlyMap<number, Kind> = new Map(Object.entries(KIND).map(([kind, byte]) => [byte, kind as Kind]));

/** Who this is: a name for people, and the process, which a peer that was started again has another of. */
export interface Hello {
  readonly name: string;
  readonly pid: number;
}

/** A message with a number, from one process to another, and as much filling as its sender likes. */
export interface Numbered {
  readonly kind: 'tell' | 'echo' | 'ask';
  /** Process ids: a message may come to a peer that was started again. */
  readonly from: number;
  readonly to: number;
  readonly seq: number;
}

/** @param filling - further bytes, as many as the message is meant to be long. */
export function encodeNumbered({ kind, from, to, seq }: Numbered, filling: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(KIND[kind]), encodeVarint(from), encodeVarint(to), encodeVarint(seq), filling);
}

/** `undefined` when it is no numbered message. */
export function decodeNumbered(message: Uint8Array): Numbered | undefined {
  const kind = KINDS.get(message[0] ?? -1);
  if (kind === undefined || kind === 'hello') return undefined;
  const from = readVarint(message, 1);
  const to = from && readVarint(message, from.end);
  const seq = to && readVarint(message, to.end);
  return seq === undefined ? undefined : { kind, from: from!.value, to: to!.value, seq: seq.value };
}

/** The question and the answer are the same. */
export function encodeHello({ name, pid }: Hello): Uint8Array {
  return concatBytes(Uint8Array.of(KIND.hello), encodeVarint(pid), encodeText(name));
}

/** `undefined` when it is no hello, or its name cannot be shown. */
export function decodeHello(message: Uint8Array): Hello | undefined {
  const pid = readVarint(message, 1);
  if (KINDS.get(message[0] ?? -1) !== 'hello' || pid === undefined || message.length > pid.end + MAX_NAME) {
    return undefined;
  }
  const name = decodeText(message.subarray(pid.end));
  return name !== undefined && /^[\x20-\x7e]+$/.test(name) ? { name, pid: pid.value } : undefined;
}
