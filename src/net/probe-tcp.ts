/** Finds out with one packet whether anything accepts TCP connections at an address. */

import type { SocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import type { Network } from './network.ts';

/** A SYN without an answer is repeated after one second (RFC 6298 §2.1); the second one would be a second probe. */
const PROBE_TIMEOUT_MS = 900;

/**
 * Sends one SYN to an address that nobody has reached, and closes the connection at once when there is one: for the
 * `probe` option of `peerExchange`, and before any other dial of an address that somebody claims.
 *
 * @param network - a virtual one, or that of this machine.
 * @param realm - @default the system realm
 * @returns whether the connection was made; also false when the answer takes longer than 900 ms. Never rejects.
 */
export async function probeTcp(network: Network, remote: SocketAddress, realm: Realm = systemRealm): Promise<boolean> {
  const over = new AbortController();
  const late = (): void => over.abort(new Error('No answer to a probe'));
  const timer = clockOf(realm).setTimer(realm.nowMs() + PROBE_TIMEOUT_MS, late);
  try {
    const { pipe } = await network.dial({ remote, signal: over.signal });
    pipe.destroy();
    return true;
  } catch {
    return false;
  } finally {
    timer.cancel();
  }
}
