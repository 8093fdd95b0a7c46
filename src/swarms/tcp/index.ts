/**
 * `shoal/tcp`: authenticated, encrypted, flow-controlled messages over TCP and TLS 1.3. Supports tells of any size up
 * to `maxMessageBytes`, asks, and the keys of peers; uses one connection for each pair of peers, whichever side
 * dialled. Tells of one priority arrive in order; large messages are sent in parts and do not block others.
 *
 * @example
 * ```ts
 * const privateKey = generateKey();
 * await using swarm = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey });
 * swarm.serve(({ payload }) => payload);
 * ```
 */

import type { Recheckable } from '../../core/accept.ts';
import type { SecureAskSwarm } from '../../core/secure.ts';
import { TcpSession } from '../../protocols/tcp/session.ts';
import { maskStreams } from '../../net/mask-streams.ts';
import { systemNetwork } from '../../net/system-network.ts';
import { parseTcpAddr, type TcpAddr, tcpAddr } from './address.ts';
import { securityOf } from './security.ts';
import { resolveOptions, type TcpSwarmOptions } from './options.ts';
import { openStreamSwarm, type StreamKind } from './stream-swarm.ts';

export { type TcpAddr, type TcpSocketAddr } from './address.ts';
export { type TcpSwarmOptions } from './options.ts';

const KIND: StreamKind<TcpAddr> = {
  layer: 'tcp',
  addrOf: tcpAddr,
  nameOf: (id) => id,
  parseAddr: parseTcpAddr,
  machine: (_connection, options, nowMs) => new TcpSession(options, nowMs),
};

/** Messages by PeerID over TCP. */
export interface TcpSwarm extends SecureAskSwarm<TcpAddr>, Recheckable {}

/**
 * Opens a TCP swarm: it listens, and dials peers when messages are sent to them.
 *
 * A tell or an ask dials if there is no connection, and waits for it. It rejects with `identity_mismatch` when a peer
 * with another key answers, `refused` when either side's `accept` refuses, `unreachable`, `timeout`; `mtu_exceeded`,
 * also when the peer's limit is lower than this side's; `limit_exceeded` when too much waits; `disconnected` when the
 * connection ends first.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `in_use` when the port is in use, `unreachable` when this machine does not have the
 * address.
 */
export function openTcpSwarm(options: TcpSwarmOptions): Promise<TcpSwarm> {
  const resolved = resolveOptions(options);
  const { network = systemNetwork, mask } = options;
  const masked = mask === undefined ? network : maskStreams({ key: mask?.key, network, realm: resolved.realm });
  return openStreamSwarm(KIND, resolved, { ...options, network: masked }, (judge) =>
    securityOf(resolved, options, judge),
  );
}
