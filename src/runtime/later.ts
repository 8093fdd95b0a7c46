/** Runs callbacks after the current call, so that no handler runs synchronously inside a call by the user. */

import type { Realm } from '../core/realm.ts';
import { nextTurn, systemClock } from './system-clock.ts';
import { clockOf } from './system-realm.ts';

/**
 * Runs `act` asynchronously. A virtual clock must see that a timer is due, or it would advance; in real time the next
 * turn of the event loop comes before any timer.
 */
export function later(realm: Realm, act: () => void): void {
  const clock = clockOf(realm);
  if (clock === systemClock) nextTurn(act);
  else clock.setTimer(realm.nowMs(), act);
}
