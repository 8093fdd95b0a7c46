/** Housekeeping that keeps no process running. */

import type { Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** Some round trips on most paths. */
export const PAUSE_MS = 100;

/**
 * Runs `act` when the calls that opened a connection have had time to be answered: what a new connection brings costs signatures and
 * handshakes, for which the first calls of the program do not wait.
 */
export function afterFirstCalls(realm: Realm, act: () => void): void {
  after(realm, PAUSE_MS, act);
}

/** Runs `act` after a time. */
export function after(realm: Realm, ms: number, act: () => void): void {
  clockOf(realm).setTimer(realm.nowMs() + ms, act, { background: true });
}
