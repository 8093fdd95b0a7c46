/** PEM (RFC 7468): DER as base64 between two lines of text. */

import type { Bytes } from '../base/bytes.ts';

/** One block of a PEM file. */
export interface PemBlock {
  /** `PRIVATE KEY`, `CERTIFICATE` … */
  readonly label: string;
  readonly der: Bytes;
}

const LINE_CHARACTERS = 64;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^\S\n]*\n([A-Za-z0-9+/=\s]*)-----END \1-----/g;
const BEGIN = /-----BEGIN ([A-Z0-9 ]+)-----/;

/** Converts the line ends of Windows and old Macs to those of Unix. */
function unixLines(text: string): string {
  return text.replaceAll(/\r\n?/g, '\n');
}

/** `der` as a PEM block with a final line end. */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = '';
  for (const byte of der) binary += String.fromCharCode(byte);
  const lines = btoa(binary).match(new RegExp(`.{1,${LINE_CHARACTERS}}`, 'g')) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** All blocks in `text`, in order; those with invalid base64 are omitted. Never throws. */
export function decodePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  for (const [, label, body] of unixLines(text).matchAll(BLOCK)) {
    const der = decodeBase64(body!);
    if (der !== undefined) blocks.push({ label: label!, der });
  }
  return blocks;
}

function decodeBase64(text: string): Bytes | undefined {
  try {
    return Uint8Array.from(atob(text.replaceAll(/\s+/g, '')), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/**
 * Why {@link decodePem} finds no block with that label: the fault of the first block, or that there is none. @internal
 */
export function pemFault(text: string, label: string): string {
  const lines = unixLines(text);
  const [begin, found] = BEGIN.exec(lines) ?? [];
  if (begin === undefined || found === undefined) return 'the text holds no PEM block';
  if (found !== label) return `expected a PEM block "${label}", got "${found.slice(0, LINE_CHARACTERS)}"`;
  const [before, ...rest] = lines.slice(lines.indexOf(begin) + begin.length).split('-----END ');
  const end = rest[0];
  if (end === undefined) return `the PEM block "${label}" has no END line`;
  if (!end.startsWith(`${label}-----`)) return `the END line of the PEM block "${label}" has another label`;
  if (before!.includes('ENCRYPTED')) return `the PEM block "${label}" is encrypted`;
  if (before!.includes(':')) return `the PEM block "${label}" has headers; without those lines it can be read`;
  if (!before!.includes('\n')) return `the BEGIN line of the PEM block "${label}" does not end`;
  return `the PEM block "${label}" is not base64`;
}
