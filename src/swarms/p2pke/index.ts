/**
 * `shoal/p2pke`: secure messages over any swarm, the same bytes as go-p2p (docs/wire/p2pke.md). Its machines
 * are `shoal/machines/p2pke`.
 *
 * @example
 * ```ts
 * await using swarm = p2pke(await openUdpSwarm(), { privateKey: generateKey() });
 * swarm.listen(({ src, payload }) => console.log(src.id, payload));
 * await swarm.tell(swarm.parseAddr(`${bobsPeerId}@192.0.2.7:5000`), encodeText('hello'));
 * ```
 */

import type { Recheckable } from '../../core/accept.ts';
import type { Addr } from '../../core/addr.ts';
import type { SecureSwarm } from '../../core/secure.ts';
import { type Swarm, assertSwarm } from '../../core/swarm.ts';
import type { P2pkeAddr } from './address.ts';
import { type P2pkeOptions, resolveP2pke } from './options.ts';
import { P2pkeSwarm as LayeredP2pkeSwarm } from './swarm.ts';

export { p2pkeAddr, type P2pkeAddr } from './address.ts';
export { type P2pkeLimits, type P2pkeOptions } from './options.ts';

/**
 * What {@link p2pke} makes. `recheck()` judges peers in a handshake too; tells that wait for a refused peer reject with `refused`. The
 * peer is not told: what it sends is dropped.
 */
export interface P2pkeSwarm<I extends Addr> extends SecureSwarm<P2pkeAddr<I>>, Recheckable {}

/**
 * Makes a secure swarm from any swarm: every message comes from a known key, and only its receiver can read it. Over UDP, memory,
 * another p2pke. Addresses are `<PeerID>@<inner address>`. Asks and keys of the inner swarm are not passed on.
 *
 * A tell makes contact when there is no session yet and waits for it: up to `timeoutMs`, the first message travels after
 * one and a half round trips. It rejects with `timeout`, `identity_mismatch` when another key answers, `refused` when
 * `accept` refuses, `limit_exceeded` when too much waits, `mtu_exceeded`, `closed`, or with the error of the inner swarm.
 *
 * Messages have 20 bytes less room than on the inner swarm, and at most 65515. The inner MTU must be 166 bytes or more
 * (with Ed25519 keys; 184 to get to a peer under load): put `frag` below where it is not.
 *
 * @throws {TypeError | RangeError} for wrong options; when the inner swarm has a handler.
 */
export function p2pke<I extends Addr>(inner: Swarm<I>, options: P2pkeOptions<I>): P2pkeSwarm<I> {
  assertSwarm(inner, 'inner');
  return new LayeredP2pkeSwarm<I>(inner, resolveP2pke(inner.realm, options), { keepInner: options.keepInner });
}
