/** The ability to check an address once and not with every message. */

import { type Addr } from '../core/addr.ts';
import { type Swarm } from '../core/swarm.ts';

/** The way to one address, for layers that send many messages there. */
export interface SendPath {
  /**
   * As `tell` without options. The caller has made sure that `payload` is bytes; what can change is looked at each time: whether
   * the swarm is closed, and the size.
   */
  send(payload: Uint8Array): Promise<void>;
}

/** What a swarm can do that need not check an address each time. */
export interface SendPaths<in A extends Addr> {
  /** @throws {TypeError} when `dst` is no address of this kind of swarm. An address that leads nowhere makes each `send` reject. */
  sendPath(dst: A): SendPath;
}

/** The way to an address of a swarm; by its `tell` where it has no shorter one. */
export function sendPath<A extends Addr>(swarm: Swarm<A>, dst: A): SendPath {
  return hasSendPaths<A>(swarm) ? swarm.sendPath(dst) : { send: (payload) => swarm.tell(dst, payload) };
}

function hasSendPaths<A extends Addr>(swarm: object): swarm is SendPaths<A> {
  return 'sendPath' in swarm && typeof swarm.sendPath === 'function';
}
