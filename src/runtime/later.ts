/** Things to do after the current call, so that no handler runs inside a call of the user's. */

import { type Realm } from '../core/realm.ts';
import { nextTurn, systemClock } from './system-clock.ts';
import { clockOf } from './system-realm.ts';

/**
 * Runs `act` in a later turn. A virtual clock must see that something is due, or it would move on; in real time a turn of
 * the event loop is sooner than any timer.
 */
export function later(realm: Realm, act: () => void): void {
  const clock = clockOf(realm);
  if (clock === systemClock) nextTurn(act);
  else clock.setTimer(realm.nowMs(), act);
}
