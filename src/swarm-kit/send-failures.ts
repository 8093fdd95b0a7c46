/** The ability to tell of messages that were accepted and could not be sent afterwards. */

import { type Addr } from '../core/addr.ts';
import { type Swarm } from '../core/swarm.ts';

/**
 * What a swarm can tell that learns only after `tell` has resolved that there is no way to a destination: UDP sockets hear
 * from the kernel of networks that cannot be reached.
 */
export interface SendFailures<out A extends Addr> {
  /** Calls `listener` for each such message, never inside a call of the user's, until the result is disposed of. */
  onSendFailed(listener: (dst: A, error: unknown) => void): Disposable;
}

/** The ability of a swarm to tell of failures after the fact, if it has it. */
export function sendFailures<A extends Addr>(swarm: Swarm<A>): SendFailures<A> | undefined {
  return hasSendFailures<A>(swarm) ? swarm : undefined;
}

function hasSendFailures<A extends Addr>(swarm: object): swarm is SendFailures<A> {
  return 'onSendFailed' in swarm && typeof swarm.onSendFailed === 'function';
}
