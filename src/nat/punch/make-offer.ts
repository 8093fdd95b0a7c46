/** Makes the offer of a port: what observers say of it, what the router forwards to it, and its own addresses. */

import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import { P2PError } from '../../core/errors.ts';
import { MAX_PUNCH_ADDRS, PUNCH_TOKEN_BYTES, type PunchOffer } from '../../protocols/punch/offer.ts';
import { type ObserveOptions, observePort } from './observe.ts';

/** What an offer is made from. */
export interface MakeOfferOptions extends Omit<ObserveOptions, 'observers'> {
  readonly isReachable: (() => boolean) | undefined;
  readonly observers: () => readonly SocketAddress[];
  readonly mapped: (() => readonly SocketAddress[]) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws {P2PError} (by rejection) `unsupported` for a host that others can dial; the signal's reason. */
export async function makeOffer(options: MakeOfferOptions): Promise<PunchOffer> {
  const { realm, isReachable, observers, mapped, local, signal } = options;
  signal?.throwIfAborted();
  if (isReachable?.() === true) {
    const message = 'Cannot offer to punch: others can dial this host, so they need no hole';
    throw new P2PError('unsupported', 'local', message, { sent: 'no' });
  }
  const { addrs, ports, next } = await observePort({ ...options, observers: observers() });
  signal?.throwIfAborted();
  const all = [...addrs, ...(mapped?.() ?? []), ...local];
  const unique = [...new Map(all.map((one) => [formatSocketAddress(one.ip, one.port), one])).values()];
  const offer = { token: realm.random(PUNCH_TOKEN_BYTES), addrs: unique.slice(0, MAX_PUNCH_ADDRS), ports };
  return next === undefined ? offer : { ...offer, next };
}
