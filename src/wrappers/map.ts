/**
 * `shoal/map`: the same swarm under other addresses.
 *
 * @example
 * ```ts
 * const named = mapAddrs(swarm, { up: (addr) => nameOf(addr), down: (name) => addrOf(name) });
 * ```
 */

import type { Addr } from '../core/addr.ts';
import type { Like } from '../core/keep.ts';
import { assertFunction } from '../base/checks.ts';
import type { Swarm } from '../core/swarm.ts';
import { type MapAddrsOptions, mappedSwarm } from '../swarm-kit/mapped-swarm.ts';

export { type MapAddrsOptions };

/** Wraps a swarm so that it has addresses `B`; keeps the asks and keys of the inner swarm. */
export function mapAddrs<A extends Addr, B extends Addr, S extends Swarm<A>>(
  inner: S & Swarm<A>,
  options: MapAddrsOptions<A, B>,
): Like<S, B> {
  for (const name of ['up', 'down', 'parse'] as const) {
    if (name !== 'parse' || options.parse !== undefined) assertFunction(Reflect.get(options, name), name);
  }
  return mappedSwarm(inner, options);
}
