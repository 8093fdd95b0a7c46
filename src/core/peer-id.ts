/**
 * PeerIDs: the 32-byte fingerprint of a public key, and its text.
 *
 * The text is base64 without padding over an alphabet in ASCII order, so that texts sort like the bytes; always 43
 * characters. go-p2p writes the same text; its parser accepts any 43 characters, this one only those that {@link
 * encodePeerId} can produce.
 */

import type { Bytes } from '../base/bytes.ts';
import { assertBytes, describeValue } from '../base/checks.ts';

/** Bytes of a PeerID. */
export const PEER_ID_BYTES = 32;

/** Characters of a PeerID's text: 32 bytes at 6 bits per character, rounded up. */
export const PEER_ID_CHARACTERS = 43;

declare const peerIdBrand: unique symbol;

/** The text of a PeerID: 43 characters, canonical, so `===` compares it and it can be a map key. */
export type PeerId = string & { readonly [peerIdBrand]: true };

/** Source: go-p2p; ascending in ASCII. */
const ALPHABET = '-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz';

/** Value of each ASCII character; 255 for those outside the alphabet. */
const VALUES: Uint8Array = new Uint8Array(128).fill(255);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/**
 * The text of 32 bytes.
 *
 * @throws {TypeError} when `bytes` is not a Uint8Array.
 * @throws {RangeError} when it is not 32 bytes.
 */
export function encodePeerId(bytes: Uint8Array): PeerId {
  assertBytes(bytes, 'peer id', PEER_ID_BYTES);
  let text = '';
  let bits = 0;
  let held = 0;
  for (let i = 0; i < PEER_ID_BYTES; i++) {
    bits = ((bits & 0x3f) << 8) | bytes[i]!;
    held += 8;
    while (held >= 6) {
      held -= 6;
      text += ALPHABET[(bits >> held) & 0x3f]!;
    }
  }
  return (text + ALPHABET[(bits << 2) & 0x3f]!) as PeerId; // four bits are left; two spare bits, always zero
}

/**
 * The 32 bytes of a text, or `undefined` when it is not a PeerID. Strict: each PeerID has exactly one text. Never
 * throws.
 */
export function decodePeerId(text: string): Bytes | undefined {
  if (typeof text !== 'string' || text.length !== PEER_ID_CHARACTERS) return undefined;
  const bytes = new Uint8Array(PEER_ID_BYTES);
  let bits = 0;
  let held = 0;
  let written = 0;
  for (let i = 0; i < PEER_ID_CHARACTERS; i++) {
    const value = VALUES[text.charCodeAt(i)];
    if (value === undefined || value === 255) return undefined;
    bits = ((bits & 0xff) << 6) | value;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[written++] = bits >> held;
    }
  }
  return (bits & 3) === 0 ? bytes : undefined;
}

/** Whether `value` is the text of a PeerID. */
export function isPeerId(value: unknown): value is PeerId {
  return typeof value === 'string' && decodePeerId(value) !== undefined;
}

/**
 * Returns `text` after checking it.
 *
 * @throws {TypeError} when it is not the text of a PeerID.
 */
export function parsePeerId(text: string): PeerId {
  if (isPeerId(text)) return text;
  const what = typeof text === 'string' && text.length !== PEER_ID_CHARACTERS ? `, ${text.length} characters` : '';
  throw new TypeError(
    `Cannot parse PeerID: expected ${PEER_ID_CHARACTERS} characters of A-Z a-z 0-9 - _, got ${describeValue(text)}${what}`,
  );
}

/** Compares two PeerIDs in the order of their bytes: negative, zero or positive. */
export function comparePeerIds(a: PeerId, b: PeerId): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
