/**
 * The contract as a user's compiler sees it: what must infer well, and what must not compile. Checked by `tsc`; there is
 * nothing to run.
 */

import { describe, it } from 'node:test';

import type { Addr, NestedAddr } from '../../src/core/addr.ts';
import type { AskSwarm } from '../../src/core/ask.ts';
import { type Common, type Like, keep } from '../../src/core/keep.ts';
import type { Message } from '../../src/core/message.ts';
import type { SecureAskSwarm, SecureSwarm } from '../../src/core/secure.ts';
import type { CallOptions, Swarm } from '../../src/core/swarm.ts';
import { type MemoryAddr, createMemoryRealm } from '../../src/swarms/memory/index.ts';
import type { UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { SAME_ADDRS } from '../../src/swarm-kit/compose.ts';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const yes = <T extends true>(): T | undefined => undefined;

interface Keyed<I extends Addr> extends NestedAddr<I> {
  readonly id: string;
}
declare function wrap<A extends Addr, S extends Swarm<A>>(inner: S & Swarm<A>): Like<S, A>;
declare function replace<A extends Addr>(inner: Swarm<A>): SecureSwarm<Keyed<A>>;
declare function join<M extends Readonly<Record<string, Swarm<never>>>>(members: M): Common<M[keyof M], Addr>;
declare const udp: Awaited<ReturnType<typeof openUdpSwarm>>;
declare const either: Swarm<UdpAddr> | AskSwarm<UdpAddr>;

/** Compiled, never called. */
export function inference(): void {
  const realm = createMemoryRealm({ clock: 'virtual' });
  const secure = realm.secureSwarm({ algorithm: 'test', spki: new Uint8Array(1) });
  void realm.clock.advance;
  // @ts-expect-error a system clock does not advance
  void createMemoryRealm().clock.advance;

  yes<Equal<typeof secure, SecureAskSwarm<MemoryAddr>>>();
  const kept = wrap(secure);
  yes<Equal<typeof kept, SecureAskSwarm<MemoryAddr>>>();
  const plain = wrap(udp);
  yes<Equal<typeof plain, Swarm<UdpAddr>>>();
  const twice = wrap(wrap(replace(wrap(udp))));
  yes<Equal<typeof twice, SecureSwarm<Keyed<UdpAddr>>>>();
  const ip: string | undefined = twice.localAddrs()[0]?.inner.ip;
  const union: Swarm<UdpAddr> | AskSwarm<UdpAddr> = wrap(either);
  void ip;
  void union;
  void join;
  void keep<MemoryAddr, typeof secure, MemoryAddr>(secure, secure, SAME_ADDRS).ask;

  // @ts-expect-error no asks on UDP
  void plain.ask;
  // @ts-expect-error replaced abilities are gone
  void replace(secure).ask;
  // @ts-expect-error an address of another network
  void udp.tell(secure.addr, new Uint8Array());
  // @ts-expect-error addresses are invariant
  const wide: Swarm<UdpAddr | MemoryAddr> = udp;
  void wide;
}

/** Code that is generic over swarms compiles, for every ability. */
export function generic<A extends Addr, S extends Swarm<A>>(
  swarm: S & Swarm<A>,
  ask: AskSwarm<A>,
  dst: A,
  signal: AbortSignal | undefined,
): Like<Like<S, A>, A> {
  const options: CallOptions = { signal };
  void wrap(ask).ask(dst, new Uint8Array(), options);
  wrap(swarm).listen((message: Message<A>) => void crypto.subtle.digest('SHA-256', message.payload));
  return wrap<A, Like<S, A>>(wrap(swarm));
}

describe('the contract', () => {
  it('compiles as it should', () => {});
});
