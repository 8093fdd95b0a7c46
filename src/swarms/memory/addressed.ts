/** Memory realms with application-defined addresses, as go-p2p's vswarm. */

import type { Addr } from '../../core/addr.ts';
import type { AskSwarm } from '../../core/ask.ts';
import { P2PError } from '../../core/errors.ts';
import { assertFunction, describeValue } from '../../base/checks.ts';
import type { Clock } from '../../core/realm.ts';
import type { PublicKey, SecureAskSwarm } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import type { PendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { Like } from '../../core/keep.ts';
import { mappedSwarm } from '../../swarm-kit/mapped-swarm.ts';
import { type MemoryAddr, memoryAddr } from '../../net/memory/address.ts';
import type { MemoryRealm } from './realm.ts';

/** Swarms of a memory realm with addresses `A`. */
export interface AddressedRealm<A extends Addr, C extends Clock = Clock> {
  /** The underlying realm with its clock and network. */
  readonly realm: MemoryRealm<C>;
  /** @throws {P2PError} (at once) `in_use` when another swarm has the address. */
  swarm(addr: A, limits?: PendingLimits): AskSwarm<A>;
  /** @throws {P2PError} (at once) `in_use` when another swarm has the address. */
  secureSwarm(publicKey: PublicKey, addr: A, limits?: PendingLimits): SecureAskSwarm<A>;
}

/**
 * Gives a memory realm your own type of addresses.
 *
 * @param realm - the realm of the swarms.
 * @param parse - parses the canonical text of an address; throws a `TypeError` for anything else.
 */
export function addressedRealm<A extends Addr, C extends Clock>(
  realm: MemoryRealm<C>,
  parse: (text: string) => A,
): AddressedRealm<A, C> {
  assertFunction(parse, 'parse');
  // Both are bounded by the addresses that the application creates or parses.
  const numbers = new Map<string, MemoryAddr>();
  const addrs = new Map<number, A>();
  const down = (addr: A): MemoryAddr => {
    if (typeof addr !== 'object' || addr === null || typeof addr.text !== 'string') {
      throw new TypeError(`Cannot take dst: expected an address (see parseAddr), got ${describeValue(addr)}`);
    }
    const known = numbers.get(addr.text);
    if (known !== undefined) return known;
    const checked = parse(addr.text);
    const number = memoryAddr(numbers.size);
    numbers.set(checked.text, number);
    addrs.set(number.n, checked);
    return number;
  };
  const map = { down, up: ({ n }: MemoryAddr): A => addrs.get(n)!, parse };
  const open = <S extends Swarm<MemoryAddr>>(addr: A, make: (n: number) => S): S => {
    const { n } = down(addr);
    try {
      return make(n);
    } catch (cause) {
      if (!P2PError.is(cause, 'in_use')) throw cause;
      throw new P2PError('in_use', 'local', `Cannot open memory swarm: address ${addr.text} is taken`, { sent: 'no' });
    }
  };
  const mapped = <S extends Swarm<MemoryAddr>>(inner: S): Like<S, A> => mappedSwarm<MemoryAddr, A, S>(inner, map);
  return {
    realm,
    swarm: (addr, limits) => mapped(open(addr, (n) => realm.swarm(n, limits))),
    secureSwarm: (publicKey, addr, limits) => mapped(open(addr, (n) => realm.secureSwarm(publicKey, n, limits))),
  };
}
