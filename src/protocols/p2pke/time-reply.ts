/** Answers an InitHello with a time. docs/wire/p2pke.md §8. */

import { compareBytes, toHex, type Bytes } from '../../base/bytes.ts';
import { encodeTimeReply } from './messages.ts';
import { encodeTai64n } from './tai64n.ts';

/** From which difference in ms on the clocks are reported as different. */
export const CLOCK_TOLERANCE_MS = 60_000;

/**
 * The time reply to an InitHello.
 *
 * @param wallMs - our time, milliseconds since the Unix epoch.
 * @param last - the timestamp that the next InitHello has to exceed, if any.
 */
export function timeReply(sessionId: Uint8Array, wallMs: number, last: Uint8Array | undefined): Bytes {
  const ms = Math.max(0, wallMs);
  const seconds = Math.floor(ms / 1000);
  const own = encodeTai64n(seconds, Math.floor((ms - seconds * 1000) * 1e6));
  return encodeTimeReply({ sessionId, timestamp: last !== undefined && compareBytes(last, own) > 0 ? last : own });
}

/**
 * InitHellos that were refused because their timestamp was not later than the last. One that is repeated
 * gets a time reply; one that is replayed once gets none.
 */
export class RefusedHellos {
  readonly #max: number;
  /** Ids as hex, oldest first. Bounded by `max`. */
  readonly #ids = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Notes an id. @returns whether it was there already */
  isAgain(id: Uint8Array): boolean {
    const text = toHex(id);
    if (this.#ids.has(text)) return true;
    if (this.#ids.size >= this.#max) this.#ids.delete(this.#ids.values().next().value!);
    this.#ids.add(text);
    return false;
  }
}
