/** Serves HTTP on the ports of other protocols: what begins as a request of HTTP goes to the tracker. */

import { systemNetwork } from '#system-network';
import { encodeText } from '../../base/bytes.ts';
import { assertFunction } from '../../base/checks.ts';
import { assertRealm, type Realm } from '../../core/realm.ts';
import { routedListeners } from '../../net/listener-routes.ts';
import { assertNetwork, type Network, type RawConnection } from '../../net/network.ts';
import { systemRealm } from '../../runtime/system-realm.ts';

/** Options of {@link httpListeners}. */
export interface HttpListenersOptions {
  /** Takes a connection that begins as HTTP does: `accept` of a server that is `isDetached`. */
  readonly accept: (connection: RawConnection) => void;
  /** @default this system's */
  readonly network?: Network | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/** The first four bytes of requests. No TLS, no STUN and hardly any Noise begins so: of 2^32 keys, one in 600 million. */
const METHODS = ['GET ', 'PUT ', 'POST', 'HEAD', 'OPTI', 'DELE', 'PATC'];

/**
 * Wraps a network: on each TCP port on which it listens, connections that begin as HTTP does go to a server of HTTP, and all others to the program. So a node and a tracker share one port.
 *
 * @throws {TypeError} for wrong options.
 *
 * @example
 * ```ts
 * const server = await openTrackerServer({ isDetached: true, store: 'sqlite:tracker.db' });
 * const network = httpListeners({ accept: (connection) => server.accept(connection) });
 * await using peers = await openPeers({ privateKey, bind: '0.0.0.0:4433', network });
 * ```
 */
export function httpListeners({ accept, network = systemNetwork, realm = systemRealm }: HttpListenersOptions): Network {
  assertFunction(accept, 'accept');
  assertNetwork(network);
  assertRealm(realm);
  const prefixes = METHODS.map((method) => [...encodeText(method)]);
  const serve = (connection: RawConnection, done: () => void): void => {
    done(); // The server has bounds of its own.
    accept(connection);
  };
  return routedListeners({ network, realm, route: { prefixes, serve } });
}
