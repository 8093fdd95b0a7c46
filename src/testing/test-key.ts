/** Public test keys, the same in every run. */

import { wholeNumber } from '../base/checks.ts';
import { importKey } from '../identity/import-key.ts';
import type { PrivateKey } from '../identity/private-key.ts';

/**
 * Ed25519 key number `i`: its seed is 24 zero bytes and `i` as 8 bytes, big-endian, as in go-p2p's tests. Never use it
 * outside tests.
 *
 * @param i - 0 to 2^53 − 1.
 */
export function testKey(i: number): PrivateKey {
  const seed = new Uint8Array(32);
  new DataView(seed.buffer).setBigUint64(24, BigInt(wholeNumber(i, 'i', 0, 0, Number.MAX_SAFE_INTEGER)));
  return importKey(seed);
}
