/** The ability to report messages that were accepted but could not be sent later. */

import type { Addr } from '../core/addr.ts';
import type { Swarm } from '../core/swarm.ts';

/**
 * For a swarm that learns only after `tell` has resolved that a destination cannot be reached: the kernel reports
 * unreachable networks to UDP sockets late.
 */
export interface SendFailures<out A extends Addr> {
  /**
   * Calls `listener` for each such message, never synchronously inside a call by the user, until the result is
   * disposed.
   */
  onSendFailed(listener: (dst: A, error: unknown) => void): Disposable;
}

/** Returns the swarm's ability to report late send failures; `undefined` when it has none. */
export function sendFailures<A extends Addr>(swarm: Swarm<A>): SendFailures<A> | undefined {
  return hasSendFailures<A>(swarm) ? swarm : undefined;
}

function hasSendFailures<A extends Addr>(swarm: object): swarm is SendFailures<A> {
  return 'onSendFailed' in swarm && typeof swarm.onSendFailed === 'function';
}
