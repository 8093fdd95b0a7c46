/** Binds a UDP socket and makes a swarm over it; exported by `shoal/udp`. */

import { wholeNumber } from '../../base/checks.ts';
import { type Realm, assertRealm } from '../../core/realm.ts';
import type { Swarm } from '../../core/swarm.ts';
import { systemRealm } from '../../runtime/system-realm.ts';
import { PendingBudget, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import { checkCall } from '../../runtime/waits.ts';
import { type UdpAddr, parseIpSocketAddress } from '../socket-address.ts';
import { bindFirst, DEFAULT_BINDS } from '../default-bind.ts';
import { type Network, assertNetwork } from '../network.ts';
import { systemNetwork } from '../system-network.ts';
import { MAX_UDP6_BYTES, UdpSwarm } from './swarm.ts';

/** Options of a UDP swarm. */
export interface UdpSwarmOptions extends PendingLimits {
  /**
   * IP and port to bind to, port 0 for any. `0.0.0.0` covers all of IPv4, `[::]` all of IPv6 and IPv4.
   * @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6
   */
  readonly bind?: string | undefined;
  /**
   * The maximum bytes of a sent message, `mtu(dst)`; at most 65 507 to IPv4 and 65 527 to IPv6. Received messages may
   * have any size.
   * @default 1232: the IPv6 minimum MTU of 1280 less 48 bytes of headers, so it fits every path
   */
  readonly maxDatagramBytes?: number | undefined;
  /** Requested kernel buffer size; `inspect` shows the granted one. @default 4 194 304 (4 MiB) */
  readonly recvBufferBytes?: number | undefined;
  /** Requested kernel buffer size. @default 1 048 576 (1 MiB) */
  readonly sendBufferBytes?: number | undefined;
  /**
   * Allows several sockets, of this or other processes, on one port; the kernel distributes datagrams among them.
   * Requires Linux 3.9, FreeBSD 12, and Node 22.12 or newer; elsewhere opening rejects with `unsupported`.
   * @default false
   */
  readonly reusePort?: boolean | undefined;
  /** The source of time. @default the system's */
  readonly realm?: Realm | undefined;
  /** The network whose sockets are used, for example that of a virtual host. @default this system's */
  readonly network?: Network | undefined;
  /** Aborts opening. */
  readonly signal?: AbortSignal | undefined;
}

/** RFC 8200 §5: every IPv6 link carries 1280 bytes; the IPv6 header has 40, the UDP header 8. */
const DEFAULT_MAX_DATAGRAM_BYTES = 1232;
const DEFAULT_RECV_BUFFER_BYTES = 4_194_304;
const DEFAULT_SEND_BUFFER_BYTES = 1_048_576;
/** The maximum of setsockopt. */
const MAX_BUFFER_BYTES = 0x7fff_ffff;

/**
 * Binds a socket and makes a swarm over it.
 *
 * @throws {TypeError | RangeError} (at once) for an invalid bind address, port or number; hostnames are not resolved.
 * @throws {P2PError} (by rejection) `in_use` when the port is in use, `unreachable` when this machine does not have the
 * address, `unsupported` when the system cannot share ports.
 */
export function openUdpSwarm(options: UdpSwarmOptions = {}): Promise<Swarm<UdpAddr>> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { realm = systemRealm, network = systemNetwork, signal } = options;
  assertRealm(realm);
  assertNetwork(network);
  const binds = options.bind === undefined ? DEFAULT_BINDS : [parseIpSocketAddress(options.bind, 'bind')];
  const size = (name: 'recvBufferBytes' | 'sendBufferBytes', fallback: number): number =>
    wholeNumber(options[name], name, fallback, 1, MAX_BUFFER_BYTES);
  const recvBufferBytes = size('recvBufferBytes', DEFAULT_RECV_BUFFER_BYTES);
  const sendBufferBytes = size('sendBufferBytes', DEFAULT_SEND_BUFFER_BYTES);
  const maxDatagramBytes = wholeNumber(
    options.maxDatagramBytes,
    'maxDatagramBytes',
    DEFAULT_MAX_DATAGRAM_BYTES,
    1,
    MAX_UDP6_BYTES,
  );
  const budget = new PendingBudget(options);
  checkCall({ signal });
  const reusePort = options.reusePort ?? false;
  return bindFirst(binds, (bind) =>
    network.bindUdp({ bind, recvBufferBytes, sendBufferBytes, reusePort, signal }),
  ).then((socket) => new UdpSwarm({ realm, network, socket, maxDatagramBytes, budget }));
}
