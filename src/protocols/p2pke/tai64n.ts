/**
 * TAI64N timestamps: 8 bytes of seconds, 2^62 plus TAI seconds, and 4 bytes of nanoseconds; big-endian, so that they
 * sort as bytes do.
 *
 * Source: D. J. Bernstein, "TAI64, TAI64N, and TAI64NA"; the steps of UTC from the IERS table of leap seconds. A leap
 * second after 2017 would be missing here, as in the original; the timestamps of one peer would still sort.
 */

import type { Bytes } from '../../base/bytes.ts';
import { TIMESTAMP_BYTES } from './constants.ts';

/** TAI − UTC before the first step. */
const FIRST_OFFSET = 10;

/** Unix times at which TAI − UTC grew by a second. */
const LEAPS: readonly number[] = [
  78_796_800, 94_694_400, 126_230_400, 157_766_400, 189_302_400, 220_924_800, 252_460_800, 283_996_800, 315_532_800,
  362_793_600, 394_329_600, 425_865_600, 489_024_000, 567_993_600, 631_152_000, 662_688_000, 709_948_800, 741_484_800,
  773_020_800, 820_454_400, 867_715_200, 915_148_800, 1_136_073_600, 1_230_768_000, 1_341_100_800, 1_435_708_800,
  1_483_228_800,
];

const MAX_NANOSECONDS = 999_999_999;

/**
 * A timestamp.
 *
 * @param unixSeconds - whole seconds since the Unix epoch, 0 to 2^53 − 1.
 * @param nanoseconds - 0 to 999999999.
 */
export function encodeTai64n(unixSeconds: number, nanoseconds: number): Bytes {
  let leaps = 0;
  while (leaps < LEAPS.length && unixSeconds >= LEAPS[leaps]!) leaps++;
  const seconds = unixSeconds + FIRST_OFFSET + leaps;
  const bytes = new Uint8Array(TIMESTAMP_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x4000_0000 + Math.floor(seconds / 0x1_0000_0000));
  view.setUint32(4, seconds % 0x1_0000_0000);
  view.setUint32(8, nanoseconds);
  return bytes;
}

/** Milliseconds since the Unix epoch of a timestamp; the part of a millisecond is cut off. */
export function tai64nMs(timestamp: Uint8Array): number {
  const view = new DataView(timestamp.buffer, timestamp.byteOffset);
  const tai = (view.getUint32(0) - 0x4000_0000) * 0x1_0000_0000 + view.getUint32(4);
  let seconds = tai - FIRST_OFFSET;
  for (let leaps = LEAPS.length; leaps > 0; leaps--) {
    if (tai - FIRST_OFFSET - leaps < LEAPS[leaps - 1]!) continue;
    seconds = tai - FIRST_OFFSET - leaps;
    break;
  }
  return seconds * 1000 + Math.floor(view.getUint32(8) / 1e6);
}

/** Whether these bytes are a timestamp: twelve, with less than a second of nanoseconds. */
export function isTai64n(bytes: Uint8Array): boolean {
  if (bytes.length !== TIMESTAMP_BYTES) return false;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(8) <= MAX_NANOSECONDS;
}

/**
 * Makes timestamps that grow from one to the next even when the clock stands still or goes back, so that a peer can distinguish
 * a new handshake from a replayed one.
 */
export class Timestamps {
  #seconds = 0;
  #nanoseconds = 0;

  /** The next timestamp; not before `wallMs`, milliseconds since the Unix epoch. */
  next(wallMs: number): Bytes {
    const ms = Math.max(0, wallMs);
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = Math.floor((ms - seconds * 1000) * 1e6);
    if (seconds > this.#seconds || (seconds === this.#seconds && nanoseconds > this.#nanoseconds)) {
      this.#seconds = seconds;
      this.#nanoseconds = nanoseconds;
    } else if (++this.#nanoseconds > MAX_NANOSECONDS) {
      this.#nanoseconds = 0;
      this.#seconds++;
    }
    return encodeTai64n(this.#seconds, this.#nanoseconds);
  }
}
