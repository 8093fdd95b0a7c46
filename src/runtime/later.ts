/**
 * Runs callbacks after the current call, so that no handler runs synchronously inside a call by the user. Both functions keep the
 * order of a virtual clock: there they are timers of this instant, which fire in the order in which they were set.
 */

import type { Realm } from '../core/realm.ts';
import { nextTurn, systemClock } from './system-clock.ts';
import { clockOf } from './system-realm.ts';

/**
 * Exists in Node, but not in browsers. Called in a microtask it runs its callback when no microtask is left, where a microtask of
 * its own would come before the promises that wait for those that have just settled.
 */
const tick: ((callback: () => void) => void) | undefined = (
  Reflect.get(globalThis, 'process') as { readonly nextTick?: (callback: () => void) => void } | undefined
)?.nextTick;

/**
 * Runs `act` asynchronously. A virtual clock must see that a timer is due, or it would advance; in real time the next
 * turn of the event loop comes before any timer.
 */
export function later(realm: Realm, act: () => void): void {
  const clock = clockOf(realm);
  if (clock === systemClock) nextTurn(act);
  else clock.setTimer(realm.nowMs(), act);
}

/**
 * Runs `act` when the current call and the promises that wait for it have run, before the event loop looks at sockets and timers
 * again: for what this node sends, so that the messages of one turn leave together and none of them waits for another turn. What a
 * peer can repeat goes through {@link later}, or a peer could hold the event loop.
 */
export function soon(realm: Realm, act: () => void): void {
  const clock = clockOf(realm);
  if (clock === systemClock) queueMicrotask(tick === undefined ? act : () => tick(act));
  else clock.setTimer(realm.nowMs(), act);
}
