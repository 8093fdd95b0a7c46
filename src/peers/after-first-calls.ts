/** Housekeeping of a new connection: it costs signatures and handshakes, for which the first calls of the program do not wait. */

import { type Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** Some round trips on most paths. */
const PAUSE_MS = 100;

/** Runs `act` when the calls that opened a connection have had time to be answered. */
export function afterFirstCalls(realm: Realm, act: () => void): void {
  clockOf(realm).setTimer(realm.nowMs() + PAUSE_MS, act, { background: true });
}
