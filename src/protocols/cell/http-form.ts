/** What cells say over HTTP: the names of headers, and hashes in them. Source: go-p2p's httpcell and celltracker, docs/wire/cells.md. */

import { hash } from '#crypto';
import { encodeBase64Url } from './base64.ts';

/** The header with the hash of the value that the writer believes to be current. */
export const CURRENT_HEADER = 'X-Current';
/** The header with the public key that has signed the value, SPKI in base64. */
export const SIGNER_HEADER = 'X-Signer';

/** The value of {@link CURRENT_HEADER}: SHA3-256 in base64 for URLs, with padding. */
export function currentHash(value: Uint8Array): string {
  return encodeBase64Url(hash('sha3-256', value));
}
