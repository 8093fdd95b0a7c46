/**
 * How many bytes may be out: as many as the path has carried lately in a few round trips. More would wait in the transport, where
 * nothing overtakes them, and a slow path would take all of them at once and finish none. Source: docs/wire/peers.md §5.
 */

import type { Millis } from '../../base/machine.ts';
import { INITIAL_RTT_MS, MAX_OUT_BYTES } from './constants.ts';

/** What may always be out. */
const MIN_OUT_BYTES = 262_144;
/** The rate is measured over the longer of this and two round trips. */
const MEASURE_MS = 200;
/** Round trips that may be out at the measured rate, each of at least so long: the host may be busy. */
const ROUND_TRIPS = 4;
const MIN_ROUND_TRIP_MS = 50;

export class OutLimit {
  #bytes = MIN_OUT_BYTES;
  #sinceMs: Millis;
  #acknowledged = 0;
  /** Whether something had to wait because of the limit since the measurement began. */
  #hasHeld = false;

  constructor(now: Millis) {
    this.#sinceMs = now;
  }

  /** Whether `bytes` more may be out. */
  allows(out: number, bytes: number): boolean {
    if (out === 0 || out + bytes <= this.#bytes) return true;
    this.#hasHeld = true;
    return false;
  }

  /** Bytes were acknowledged. */
  acknowledged(now: Millis, bytes: number, rttMs: number = INITIAL_RTT_MS): void {
    this.#acknowledged += bytes;
    const tookMs = now - this.#sinceMs;
    if (tookMs < Math.max(MEASURE_MS, 2 * rttMs)) return;
    const carried = (this.#acknowledged / tookMs) * Math.max(rttMs, MIN_ROUND_TRIP_MS) * ROUND_TRIPS;
    const limit = Math.min(MAX_OUT_BYTES, MIN_OUT_BYTES + carried);
    // Without much to send little is carried: that says nothing of the path.
    if (this.#hasHeld || limit > this.#bytes) this.#bytes = limit;
    this.#sinceMs = now;
    this.#acknowledged = 0;
    this.#hasHeld = false;
  }
}
