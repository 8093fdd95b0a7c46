/** Ids of sessions: docs/wire/peers.md §2. */

import type { Bytes } from '../base/bytes.ts';

/** Eight random bytes that are not all zero: zeros mean none. */
export function sessionId(random: (length: number) => Bytes): Bytes {
  const id = random(8);
  if (id.every((byte) => byte === 0)) id[0] = 1;
  return id;
}
