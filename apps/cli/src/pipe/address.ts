/** Where a pipe waits, and the secret by which it knows who may use it. */

import { timingSafeEqual } from 'node:crypto';
import type { PeerId } from 'shoal';
import { encodeText } from 'shoal/bytes';
import { UsageError } from '../failure.ts';
import { parsePlace } from '../open-peers.ts';

/** `<PeerID>@127.0.0.1:5000#<secret>`. */
export interface PipeAddress {
  readonly id: PeerId;
  /** Where the peer was when the address was printed. */
  readonly place: string;
  readonly secret: string;
}

/** 128 bits. */
export const SECRET_BYTES = 16;
const SECRET_FORM = /^[\w-]{22}$/;

export function formatPipeAddress({ id, place, secret }: PipeAddress): string {
  return `${id}@${place}#${secret}`;
}

/** @throws {UsageError} for anything else. */
export function parsePipeAddress(text: string): PipeAddress {
  const hash = text.lastIndexOf('#');
  const secret = text.slice(hash + 1);
  try {
    if (hash >= 0 && SECRET_FORM.test(secret)) return { ...parsePlace(text.slice(0, hash), 'pipe'), secret };
  } catch {
    // It ends in a secret, so it is not repeated.
  }
  throw new UsageError(
    `Cannot use this pipe address: expected the whole line that \`shoal pipe\` prints, <PeerID>@IP:PORT#SECRET`,
  );
}

/** Whether a message is the secret; takes as long for every wrong one. */
export function isSecret(message: Uint8Array, secret: string): boolean {
  const expected = encodeText(secret);
  return message.length === expected.length && timingSafeEqual(message, expected);
}
