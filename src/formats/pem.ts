/** PEM (RFC 7468): DER between two lines of text. */

import { type Bytes } from '../core/bytes.ts';

/** One block of a PEM file. */
export interface PemBlock {
  /** `PRIVATE KEY`, `CERTIFICATE` … */
  readonly label: string;
  readonly der: Bytes;
}

const LINE_CHARACTERS = 64;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^\S\n]*\n([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/** `der` as a PEM block with a final line end. */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** All blocks in `text`, in order; those whose base64 is broken are left out. Never throws. */
export function decodePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  for (const [, label, body] of text.replaceAll('\r\n', '\n').matchAll(BLOCK)) {
    try {
      const binary = atob(body!.replaceAll(/\s+/g, ''));
      blocks.push({ label: label!, der: Uint8Array.from(binary, (character) => character.charCodeAt(0)) });
    } catch {
      // not base64: no block
    }
  }
  return blocks;
}
