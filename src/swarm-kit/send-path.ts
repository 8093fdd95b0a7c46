/** The ability to check an address once instead of with every message. */

import type { Addr } from '../core/addr.ts';
import type { Swarm } from '../core/swarm.ts';

/** A checked path to one address, for layers that send many messages to it. */
export interface SendPath {
  /**
   * As `tell` without options. The caller guarantees that `payload` is a `Uint8Array`. Each call still checks the size
   * and whether the swarm is closed.
   */
  send(payload: Uint8Array): Promise<void>;
}

/** A swarm that can check an address once for many messages. */
export interface SendPaths<in A extends Addr> {
  /**
   * @throws {TypeError} when `dst` is not an address of this kind of swarm. For an unreachable address each `send`
   * rejects.
   */
  sendPath(dst: A): SendPath;
}

/** The send path to an address of a swarm; uses `tell` when the swarm has no send paths. */
export function sendPath<A extends Addr>(swarm: Swarm<A>, dst: A): SendPath {
  return hasSendPaths<A>(swarm) ? swarm.sendPath(dst) : { send: (payload) => swarm.tell(dst, payload) };
}

function hasSendPaths<A extends Addr>(swarm: object): swarm is SendPaths<A> {
  return 'sendPath' in swarm && typeof swarm.sendPath === 'function';
}
