/**
 * Tickets: all that a receiver needs to know, on one line that people can copy: `shoal1.` and base64url of
 *
 * | field     | bytes                                                                |
 * | --------- | -------------------------------------------------------------------- |
 * | PeerID    | 32                                                                   |
 * | secret    | 16: peers that show it may fetch                                     |
 * | hash      | 32: SHA-256 of the manifest, which has the hashes of all files in it |
 * | addresses | one byte: how many; each a length byte and its text, as in UDP's     |
 */

import type { Bytes, PeerId } from 'shoal';
import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { decodePeerId, encodePeerId } from 'shoal/keys';
import { UsageError } from '../failure.ts';

/** What a ticket says. */
export interface Ticket {
  readonly id: PeerId;
  readonly secret: Bytes;
  readonly hash: Bytes;
  /** Where the sender's socket is reached: `192.168.1.5:40000`, best first. */
  readonly addrs: readonly string[];
}

export const SECRET_BYTES = 16;
export const HASH_BYTES = 32;
const ID_BYTES = 32;
/** A machine with more networks shows the first ones. */
const MAX_ADDRS = 16;
const PREFIX = 'shoal1.';
/** Far above the largest ticket. */
const MAX_CHARACTERS = 8192;

export function encodeTicket({ id, secret, hash, addrs }: Ticket): string {
  const texts = addrs.slice(0, MAX_ADDRS).map(encodeText);
  const body = concatBytes(
    decodePeerId(id)!,
    secret,
    hash,
    Uint8Array.of(texts.length),
    ...texts.flatMap((text) => [Uint8Array.of(text.length), text]),
  );
  return PREFIX + Buffer.from(body).toString('base64url');
}

/** @throws {UsageError} when it is no ticket. */
export function decodeTicket(text: string): Ticket {
  const ticket = tryDecode(text.trim());
  if (ticket !== undefined) return ticket;
  throw new UsageError(
    `Cannot use this ticket: expected the whole line that \`shoal send\` prints, ${PREFIX}…, got ${text.length} characters of something else`,
  );
}

function tryDecode(text: string): Ticket | undefined {
  if (!text.startsWith(PREFIX) || text.length > MAX_CHARACTERS || !/^[\w-]+$/.test(text.slice(PREFIX.length))) {
    return undefined;
  }
  const body = new Uint8Array(Buffer.from(text.slice(PREFIX.length), 'base64url'));
  const take = (at: number, length: number): Bytes => body.slice(at, at + length);
  const head = ID_BYTES + SECRET_BYTES + HASH_BYTES;
  const count = body[head];
  if (count === undefined || count > MAX_ADDRS) return undefined;
  const addrs: string[] = [];
  let at = head + 1;
  for (let i = 0; i < count; i++) {
    const length = body[at] ?? 0;
    const addr = decodeText(take(at + 1, length));
    if (addr === undefined || addr === '' || at + 1 + length > body.length) return undefined;
    addrs.push(addr);
    at += 1 + length;
  }
  if (at !== body.length || count === 0) return undefined;
  return {
    id: encodePeerId(take(0, ID_BYTES)),
    secret: take(ID_BYTES, SECRET_BYTES),
    hash: take(ID_BYTES + SECRET_BYTES, HASH_BYTES),
    addrs,
  };
}
