/** Sockets that exist only to be dialled back: they prove that a port is open before something else listens on it. */

import { type Bytes, joinBytes } from '../base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import { sourceOf } from '../base/source-shares.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertNetwork, type Network, type RawConnection } from '../net/network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { systemNetwork } from '../net/system-network.ts';
import {
  type DialBackTransport,
  encodeDialBackNonce,
  DIAL_BACK_NONCE_BYTES,
} from '../protocols/reachability/dial-back.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import type { DialBackNonces } from './dial-back-nonces.ts';

/** Where to listen. */
export interface DialBackListenerOptions {
  readonly transport: DialBackTransport;
  /** IP and port. @default '0.0.0.0:0' */
  readonly bind?: string | undefined;
  readonly nonces: DialBackNonces;
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
}

/** An open listener. */
export interface DialBackListener extends AsyncDisposable {
  /** `ip:port`. */
  readonly address: string;
  /** Idempotent; never rejects. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 32;
const MAX_CONNECTIONS_PER_SOURCE = 4;
const CONNECTION_MS = 5000;
const MESSAGE_BYTES = encodeDialBackNonce(new Uint8Array(DIAL_BACK_NONCE_BYTES)).length;

/**
 * Listens for nonces, and for nothing else: what comes besides is dropped, connections after 5 s.
 *
 * @throws {TypeError | RangeError} (at once) for a bad `bind`.
 * @throws {P2PError} (by rejection) `in_use`, `unreachable`.
 */
export function listenForDialBack(options: DialBackListenerOptions): Promise<DialBackListener> {
  const { transport, bind = '0.0.0.0:0', nonces, network = systemNetwork, realm = systemRealm } = options;
  assertNetwork(network);
  assertRealm(realm);
  const at = parseIpSocketAddress(bind, 'bind');
  return transport === 'udp' ? listenUdp(at, nonces, network) : listenTcp(at, nonces, network, realm);
}

async function listenUdp(bind: SocketAddress, nonces: DialBackNonces, network: Network): Promise<DialBackListener> {
  const socket = await network.bindUdp({ bind });
  socket.sink = { onDatagram: (payload, ip, port) => void nonces.handle(payload, { ip, port }, 'udp') };
  return open(formatSocketAddress(socket.address.ip, socket.address.port), () => socket.close());
}

async function listenTcp(
  bind: SocketAddress,
  nonces: DialBackNonces,
  network: Network,
  realm: Realm,
): Promise<DialBackListener> {
  /** With their networks. Bounded by {@link MAX_CONNECTIONS}. */
  const connections = new Map<RawConnection, string>();
  const listener = await network.listen({
    bind,
    backlog: MAX_CONNECTIONS,
    reusePort: false,
    onError: () => undefined,
    onConnection: (connection) => {
      const { pipe, remote } = connection;
      const source = sourceOf(remote.ip);
      const ofSource = [...connections.values()].filter((one) => one === source).length;
      if (connections.size >= MAX_CONNECTIONS || ofSource >= MAX_CONNECTIONS_PER_SOURCE) {
        pipe.destroy();
        return;
      }
      connections.set(connection, source);
      const timer = clockOf(realm).setTimer(realm.nowMs() + CONNECTION_MS, () => pipe.destroy(), { background: true });
      let first: Bytes = new Uint8Array(0);
      pipe.sink = {
        onData: (chunk) => {
          first = joinBytes(first, chunk);
          if (first.length < MESSAGE_BYTES) return;
          nonces.handle(first.subarray(0, MESSAGE_BYTES), remote, 'tcp');
          pipe.destroy();
        },
        onEnd: () => pipe.destroy(),
        onClose: () => {
          timer.cancel();
          connections.delete(connection);
        },
      };
      pipe.resume();
    },
  });
  return open(formatSocketAddress(listener.address.ip, listener.address.port), async () => {
    for (const { pipe } of connections.keys()) pipe.destroy();
    await listener.close();
  });
}

function open(address: string, close: () => Promise<void>): DialBackListener {
  return { address, close, [Symbol.asyncDispose]: close };
}
