/**
 * `shoal/mbapp`: asks, deadlines and large messages on any swarm. The same bytes as go-p2p's mbapp
 * (docs/wire/mbapp.md); in addition, requests are resent until they are answered, and executed at most once.
 *
 * @example
 * ```ts
 * await using swarm = mbapp(p2pke(await openUdpSwarm(), { privateKey }));
 * swarm.serve(({ payload }) => payload);
 * const answer = await swarm.ask(bob, request, { timeoutMs: 5000 });
 * ```
 */

import type { Addr } from '../../core/addr.ts';
import type { AskSwarm } from '../../core/ask.ts';
import { mapSecure, textSecure } from '../../core/keep.ts';
import { describeOption } from '../../base/checks.ts';
import { type SecureAskSwarm, type SecureSwarm, isSecure } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import { SAME_ADDRS } from '../../swarm-kit/compose.ts';
import { type MbappOptions, resolveMbapp } from './options.ts';
import { MbappSwarm } from './swarm.ts';

export { type MbappOptions } from './options.ts';

/**
 * Adds asks to a swarm. Keeps the keys of the inner swarm; does not use its asks.
 *
 * @throws {TypeError | RangeError} for invalid options.
 */
export function mbapp<A extends Addr>(inner: SecureSwarm<A>, options?: MbappOptions): SecureAskSwarm<A>;
export function mbapp<A extends Addr>(inner: Swarm<A>, options?: MbappOptions): AskSwarm<A>;
export function mbapp<A extends Addr>(inner: Swarm<A>, options: MbappOptions = {}): AskSwarm<A> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeOption('options', options)}`);
  }
  const secure = isSecure<A>(inner);
  const swarm = new MbappSwarm<A>(inner, resolveMbapp(options, secure));
  return isSecure<A>(inner)
    ? Object.assign(swarm, textSecure(mapSecure<A, A>(inner, SAME_ADDRS, swarm.guard), swarm.texts))
    : swarm;
}
