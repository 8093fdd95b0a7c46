/** A record in the strings of a TXT record: `v=1`, then `r0=`, `r1=` … with pieces of its base64. docs/wire/beacon.md §7. */

import type { Bytes } from '../../base/bytes.ts';

const VERSION = 'v=1';
/** A string has at most 255 bytes with its name. */
const PIECE_CHARACTERS = 240;
/** For a record of 900 bytes; more are not read. */
const MAX_PIECES = 8;

/** The strings that hold a record. */
export function recordTxt(record: Uint8Array): readonly string[] {
  const text = btoa(String.fromCharCode(...record));
  const pieces = Array.from({ length: Math.ceil(text.length / PIECE_CHARACTERS) }, (_, i) => {
    return `r${i}=${text.slice(i * PIECE_CHARACTERS, (i + 1) * PIECE_CHARACTERS)}`;
  });
  return [VERSION, ...pieces];
}

/** The record in these strings; `undefined` when there is none. Never throws. */
export function readRecordTxt(texts: readonly string[]): Bytes | undefined {
  if (!texts.includes(VERSION)) return undefined;
  let text = '';
  for (let i = 0; i < MAX_PIECES; i++) {
    const name = `r${i}=`;
    const piece = texts.find((each) => each.startsWith(name));
    if (piece === undefined) break;
    text += piece.slice(name.length);
  }
  if (text === '' || !/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
