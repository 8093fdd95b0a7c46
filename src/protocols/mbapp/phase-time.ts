/**
 * PhaseTime32: a time in 32 bits that two peers read as the same time as long as their clocks differ by less than six
 * days.
 *
 * There are two kinds of epochs, even ones at k · P and odd ones at k · P + P/2, with P = 2^31 ms since the Unix epoch.
 * A time is written as the milliseconds since the epoch for which they are in the middle half of P, with the top bit
 * set for odd epochs. docs/wire/mbapp.md §2.
 */

const PERIOD_MS = 0x8000_0000;
const HALF_MS = PERIOD_MS / 2;

/** @param wallMs - milliseconds since the Unix epoch, 0 or more. */
export function encodePhaseTime(wallMs: number): number {
  const at = Math.floor(wallMs);
  const sinceEven = at % PERIOD_MS;
  if (sinceEven >= PERIOD_MS / 4 && sinceEven < (3 * PERIOD_MS) / 4) return sinceEven;
  return PERIOD_MS + ((((at - HALF_MS) % PERIOD_MS) + PERIOD_MS) % PERIOD_MS);
}

/** The time that `phase` represents, for a reader whose clock shows `wallMs`. */
export function decodePhaseTime(phase: number, wallMs: number): number {
  const isOdd = phase >= PERIOD_MS;
  const elapsed = phase % PERIOD_MS;
  const offset = isOdd ? HALF_MS : 0;
  const epoch = Math.floor((wallMs - offset) / PERIOD_MS) * PERIOD_MS + offset;
  return epoch + elapsed;
}
