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

import { type Recheckable } from '../../core/accept.ts';
import { parseSocketAddress } from '../../base/ip.ts';
import { type SecureAskSwarm } from '../../core/secure.ts';
import { sessionSwarm, type SessionSwarmParts } from '../../sessions/session-swarm.ts';
import { checkCall } from '../../runtime/waits.ts';
import { createNode } from '../../node/index.ts';
import { addrsOfBound } from '../../net/addrs-of-bound.ts';
import { maskStreams } from '../../net/mask-streams.ts';
import { systemNetwork } from '../../net/system-network.ts';
import { parseTcpAddr, type TcpAddr, tcpAddr } from './address.ts';
import { TcpSessions } from './sessions.ts';
import { NodeCounters } from './node-counters.ts';
import { RAW_CODEC } from './raw-codec.ts';
import { securityOf } from './security.ts';
import { resolveOptions, type TcpSwarmOptions } from './options.ts';

export { type TcpAddr, type TcpSocketAddr } from './address.ts';
export { type TcpSwarmOptions } from './options.ts';

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
  checkCall({ signal: options.signal });
  const { id, publicKey, realm, maxMessageBytes, maxQueueBytes, maxSwarmBytes, idleTimeoutMs, pending } = resolved;
  const { bind, connectTimeoutMs, reusePort, maxConnections, maxConnectionsPerIp, maxConnecting, groupIpv6 } = options;
  const limits = { maxConnections, maxConnectionsPerIp, maxConnecting, groupIpv6 };
  const { network: plain = systemNetwork, mask } = options;
  const network = mask === undefined ? plain : maskStreams({ key: mask?.key, network: plain, realm });
  // The sessions count the memory that peers use.
  const node = createNode({
    ...limits,
    maxNodeBytes: 2 ** 50,
    codec: RAW_CODEC,
    security: securityOf(resolved, options, (connection, key, signal) => sessions!.judge(connection, key, signal)),
    name: id,
    bind,
    connectTimeoutMs,
    reusePort,
    realm,
    network,
  });
  let sessions: TcpSessions | undefined;
  const parts: SessionSwarmParts<TcpAddr> = {
    layer: 'tcp',
    realm,
    id,
    publicKey,
    inner: new NodeCounters(node),
    maxMessageBytes,
    limits: { maxQueueBytes, maxSwarmBytes, idleTimeoutMs, ...pending },
    localAddrs: () => {
      const bound = parseSocketAddress(node.listeningAddr ?? '');
      return bound === undefined ? [] : addrsOfBound(tcpAddr(id, bound), network.interfaces());
    },
    parseAddr: parseTcpAddr,
    mtu: (dst) => Math.min(maxMessageBytes, sessions?.inUse.get(dst.id)?.peerMaxBytes ?? Infinity),
    sessions: (hooks) => (sessions = new TcpSessions(node, resolved, hooks)),
    release: () => node.close(),
  };
  const swarm = sessionSwarm(parts);
  return listening(swarm, node.listen(), options.signal);
}

/** The swarm once it listens; it is closed when listening fails or is aborted. */
async function listening(
  swarm: TcpSwarm,
  listens: Promise<string>,
  signal: AbortSignal | undefined,
): Promise<TcpSwarm> {
  try {
    await listens;
    signal?.throwIfAborted();
    return swarm;
  } catch (error) {
    await swarm.close();
    throw error;
  }
}
