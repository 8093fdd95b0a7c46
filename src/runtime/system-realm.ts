/** The realm of this machine: its clocks and its cryptographic random number generator. */

import type { Bytes } from '../base/bytes.ts';
import type { Clock, ClockedRealm, Realm, TraceEvent } from '../core/realm.ts';
import { systemClock } from './system-clock.ts';

/** The maximum bytes that Web Crypto fills per call (W3C Web Cryptography API §10.1.1). */
const MAX_RANDOM_CALL_BYTES = 65_536;

function systemRandom(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += MAX_RANDOM_CALL_BYTES) {
    crypto.getRandomValues(bytes.subarray(at, at + MAX_RANDOM_CALL_BYTES));
  }
  return bytes;
}

/** This machine's time and randomness. The default of every swarm. */
export const systemRealm: ClockedRealm = {
  clock: systemClock,
  nowMs: () => systemClock.nowMs(),
  wallMs: () => Date.now(),
  random: systemRandom,
};

/** The same realm, with every event of every layer passed to `trace`. */
export function withTrace<R extends Realm>(realm: R, trace: (event: TraceEvent) => void): R {
  return { ...realm, trace };
}

/** The clock of a realm; a realm without one runs in real time. */
export function clockOf(realm: Realm): Clock {
  return 'clock' in realm && isClock(realm.clock) ? realm.clock : systemClock;
}

/** Whether `value` can read the time and set timers. */
export function isClock(value: unknown): value is Clock {
  const clock = value as Partial<Clock> | null | undefined;
  return typeof clock?.setTimer === 'function' && typeof clock.nowMs === 'function';
}
