/** What sender and receiver ask each other, over any swarm that can ask. */

import type { Bytes } from 'shoal';
import { concatBytes, encodeVarint, readVarint } from 'shoal/bytes';
import { SECRET_BYTES } from './ticket.ts';

/** A piece of the manifest (file 0) or of a file (from 1 on, in the manifest's order), or the word that all is there. */
export type TransferRequest =
  | { readonly type: 'read'; readonly file: number; readonly offset: number; readonly length: number }
  | { readonly type: 'done' };

/** Bytes in one answer: small enough that a bar moves, large enough that asks do not count. */
export const CHUNK_BYTES: number = 256 * 1024;

const READ = 1;
const DONE = 2;

/** The first byte of each answer: whether the bytes follow, or why none do. */
export const STATUS = { ok: 0, secret: 1, request: 2, changed: 3 } as const;

/** A request that gets no bytes. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly status: Exclude<(typeof STATUS)[keyof typeof STATUS], 0>;

  constructor(why: Exclude<keyof typeof STATUS, 'ok'>) {
    super(`Refused: ${why}`);
    this.status = STATUS[why];
  }
}

export function encodeRequest(secret: Uint8Array, request: TransferRequest): Bytes {
  if (request.type === 'done') return concatBytes(secret, Uint8Array.of(DONE));
  const { file, offset, length } = request;
  return concatBytes(secret, Uint8Array.of(READ), encodeVarint(file), encodeVarint(offset), encodeVarint(length));
}

/** The request after the secret. @throws {Refused} for anything else. */
export function decodeRequest(message: Uint8Array): TransferRequest {
  const kind = message[SECRET_BYTES];
  if (kind === DONE && message.length === SECRET_BYTES + 1) return { type: 'done' };
  const file = readVarint(message, SECRET_BYTES + 1);
  const offset = file && readVarint(message, file.end);
  const length = offset && readVarint(message, offset.end);
  const whole = length?.end === message.length && length.value <= CHUNK_BYTES;
  if (kind !== READ || !whole) throw new Refused('request');
  return { type: 'read', file: file!.value, offset: offset!.value, length: length.value };
}
