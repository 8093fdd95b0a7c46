/** Payloads: from the command line, and for people's eyes. */

import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { encodeText, toHex } from 'shoal/bytes';
import { Failure, UsageError } from './failure.ts';
import { printable } from './printable.ts';

/** Where a payload comes from. */
export interface PayloadSource {
  readonly data?: string | undefined;
  /** A path, or `-` for standard input. */
  readonly file?: string | undefined;
}

/** @throws {UsageError | Failure} when no payload is given, more than one is given, or it cannot be read. */
export async function readPayload({ data, file }: PayloadSource): Promise<Uint8Array> {
  if ((data === undefined) === (file === undefined)) {
    throw new UsageError('Cannot tell what to send: give one of --data TEXT, --file FILE, or - for standard input');
  }
  if (data !== undefined) return encodeText(data);
  try {
    return file === '-' ? new Uint8Array(await buffer(process.stdin)) : new Uint8Array(await readFile(file!));
  } catch (error) {
    throw new Failure(`Cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

const SHOWN_CHARACTERS = 200;
const SHOWN_BYTES = 32;

/** A payload on one line: as text when it is text, else its length and first bytes. */
export function showPayload(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, 4 * SHOWN_CHARACTERS));
    if (!/[^\P{Cc}\n\r\t]/u.test(text)) {
      const cut = text.length > SHOWN_CHARACTERS || bytes.length > 4 * SHOWN_CHARACTERS;
      return printable(JSON.stringify(text.slice(0, SHOWN_CHARACTERS))) + (cut ? ` … (${bytes.length} bytes)` : '');
    }
  } catch {
    // Not UTF-8.
  }
  return `${bytes.length} bytes ${toHex(bytes.subarray(0, SHOWN_BYTES))}${bytes.length > SHOWN_BYTES ? '…' : ''}`;
}
