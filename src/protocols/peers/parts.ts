/** Cuts a message into parts: for a path with small packets, or because it is large, or because the peer has its beginning. Source: docs/wire/peers.md §4. */

import { type Bytes, viewFrom } from '../../base/bytes.ts';
import { MAX_HEAD_BYTES, PART_BYTES } from './constants.ts';
import type { Outgoing } from './outgoing.ts';
import { encodePart, MAX_PART_HEAD_BYTES } from './packets.ts';

/** The smallest part, whatever the path carries. */
const MIN_PART_BYTES = 64;

export function sendParts(
  { buffer, size, type, number, confirmed }: Outgoing,
  tag: number,
  received: number,
  mtu: number,
  send: (packet: Bytes) => void,
): void {
  const length = Math.max(Math.min(mtu - MAX_PART_HEAD_BYTES, PART_BYTES), MIN_PART_BYTES);
  for (let offset = confirmed; offset < size; offset += length) {
    const start = MAX_HEAD_BYTES + offset;
    const bytes = viewFrom(buffer, start, Math.min(start + length, MAX_HEAD_BYTES + size));
    send(encodePart({ tag, number, received, message: type, size, offset, bytes }));
  }
}
