/** Combines a swarm with the asks or the keys of another object. */

import type { Addr } from '../core/addr.ts';
import type { AskSwarm, Asks } from '../core/ask.ts';
import { type Like, keep, mapAsks, mapSecure, textAsks, textSecure } from '../core/keep.ts';
import type { Secure, SecureSwarm } from '../core/secure.ts';
import type { Swarm } from '../core/swarm.ts';
import { TextAddrs } from '../core/text-addrs.ts';

/** A map that changes nothing, for wrappers that have the addresses of their inner swarm. */
export const SAME_ADDRS = {
  down: <A extends Addr>(addr: A): A => addr,
  up: <A extends Addr>(addr: A): A => addr,
} as const;

/** Returns `swarm` with the asks of `asks` as one object. Changes neither argument. */
export function composeAsk<A extends Addr, S extends Swarm<A>>(
  swarm: S & Swarm<A>,
  asks: Asks<A>,
): Like<S, A> & AskSwarm<A> {
  return Object.assign(view<A, S>(swarm), textAsks(mapAsks<A, A>(asks, SAME_ADDRS), textsOf(swarm)));
}

/** Returns `swarm` with the keys of `secure` as one object. Changes neither argument. */
export function composeSecure<A extends Addr, S extends Swarm<A>>(
  swarm: S & Swarm<A>,
  secure: Secure<A>,
): Like<S, A> & SecureSwarm<A> {
  return Object.assign(view<A, S>(swarm), textSecure(mapSecure<A, A>(secure, SAME_ADDRS), textsOf(swarm)));
}

function textsOf<A extends Addr>(swarm: Swarm<A>): TextAddrs<A> {
  return new TextAddrs<A>((text) => swarm.parseAddr(text));
}

/** A new object with all abilities of `swarm`. */
function view<A extends Addr, S extends Swarm<A>>(swarm: S & Swarm<A>): Like<S, A> {
  const base: Swarm<A> = {
    realm: swarm.realm,
    counters: swarm.counters,
    closed: swarm.closed,
    get addr() {
      return swarm.addr;
    },
    localAddrs: () => swarm.localAddrs(),
    parseAddr: (text) => swarm.parseAddr(text),
    tryParseAddr: (text) => swarm.tryParseAddr(text),
    mtu: (dst) => swarm.mtu(dst),
    tell: (dst, payload, options) => swarm.tell(dst, payload, options),
    listen: (handler) => swarm.listen(handler),
    drain: (options) => swarm.drain(options),
    close: () => swarm.close(),
    [Symbol.asyncDispose]: () => swarm[Symbol.asyncDispose](),
  };
  return keep<A, S, A>(swarm, base, SAME_ADDRS);
}
