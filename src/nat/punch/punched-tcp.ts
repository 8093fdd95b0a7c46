/** A network that takes in connections that were made elsewhere: a swarm over it uses what was punched without knowing of it. */

import { formatSocketAddress, type SocketAddress } from '../../base/ip.ts';
import type { Side } from '../../core/accept.ts';
import { assertRealm, type Realm, type Timer } from '../../core/realm.ts';
import { assertNetwork, type ListenOptions, type Network, type RawConnection } from '../../net/network.ts';
import { systemNetwork } from '../../net/system-network.ts';
import { clockOf, systemRealm } from '../../runtime/system-realm.ts';

/** A network that adopts connections. */
export interface PunchedTcpNetwork extends Network {
  /**
   * Takes over a connection. On the initiator's side the next dial to `remote` gets it, within ten seconds; on the responder's side the listener that was
   * opened first gets it, as if somebody had dialled it.
   *
   * @param side - of this host.
   * @returns whether it is used; otherwise it is closed: nobody listens, or too many wait for their dial.
   */
  adopt(remote: SocketAddress, connection: RawConnection, side: Side): boolean;
}

/** How connections are adopted. */
export interface PunchedTcpOptions {
  /** @default this system's */
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
}

const MAX_WAITING = 16;
const WAIT_MS = 10_000;

interface Waiting {
  readonly connection: RawConnection;
  readonly timer: Timer;
}

/**
 * Makes a network that adopts connections, under a swarm that dials and listens.
 *
 * @throws {TypeError} for wrong options.
 * @example
 * ```ts
 * const network = punchedTcp({ network: host.network });
 * const swarm = await openTcpSwarm({ privateKey, network });
 * const { remote, connection } = await puncher.punch(own, theirs, { side: 'initiator' });
 * network.adopt(remote, connection, 'initiator');
 * await swarm.tell(`${peerId}@${formatSocketAddress(remote.ip, remote.port)}`, hello);
 * ```
 */
export function punchedTcp({
  network = systemNetwork,
  realm = systemRealm,
}: PunchedTcpOptions = {}): PunchedTcpNetwork {
  assertNetwork(network);
  assertRealm(realm);
  /** For the initiator, by remote address. Bounded by {@link MAX_WAITING}. */
  const waiting = new Map<string, Waiting>();
  /** Bounded by the listeners that are open. */
  const listeners = new Set<ListenOptions>();

  /** Takes one out that waits. */
  const take = (remote: SocketAddress): RawConnection | undefined => {
    const text = formatSocketAddress(remote.ip, remote.port);
    const found = waiting.get(text);
    if (found === undefined) return undefined;
    waiting.delete(text);
    found.timer.cancel();
    found.connection.pipe.sink = undefined;
    return found.connection;
  };
  const keep = (remote: SocketAddress, connection: RawConnection): boolean => {
    if (waiting.size >= MAX_WAITING) return false;
    take(remote)?.pipe.destroy();
    const { pipe } = connection;
    const timer = clockOf(realm).setTimer(realm.nowMs() + WAIT_MS, () => take(remote)?.pipe.destroy(), {
      background: true,
    });
    waiting.set(formatSocketAddress(remote.ip, remote.port), { connection, timer });
    // It is paused, so nothing comes but its end.
    pipe.sink = { onData: (chunk) => pipe.unshift(chunk), onEnd: () => undefined, onClose: () => void take(remote) };
    return true;
  };
  return {
    dial: (options) => {
      const adopted = options.bind === undefined && !options.signal.aborted ? take(options.remote) : undefined;
      return adopted === undefined ? network.dial(options) : Promise.resolve(adopted);
    },
    listen: async (options) => {
      const listener = await network.listen(options);
      listeners.add(options);
      return {
        address: listener.address,
        close: () => {
          listeners.delete(options);
          return listener.close();
        },
      };
    },
    bindUdp: (options) => network.bindUdp(options),
    interfaces: () => network.interfaces(),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
    adopt: (remote, connection, side) => {
      const [listening] = listeners;
      const isUsed = side === 'initiator' ? keep(remote, connection) : listening !== undefined;
      if (!isUsed) connection.pipe.destroy();
      else if (side === 'responder') listening!.onConnection(connection);
      return isUsed;
    },
  };
}
