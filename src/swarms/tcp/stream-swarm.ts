/** Opens a swarm over connections of TCP: what those of each kind share. */

import { parseSocketAddress } from '../../base/ip.ts';
import { addrsOfBound } from '../../net/addrs-of-bound.ts';
import { systemNetwork } from '../../net/system-network.ts';
import { createNode, type Handshake } from '../../node/index.ts';
import { checkCall } from '../../runtime/waits.ts';
import { sessionSwarm, type SessionSwarmParts } from '../../sessions/session-swarm.ts';
import type { StreamAddr } from './address.ts';
import { NodeCounters } from './node-counters.ts';
import type { ResolvedOptions, TcpSwarmOptions } from './options.ts';
import { RAW_CODEC } from './raw-codec.ts';
import { type Judge, type StreamKind, TcpSessions } from './sessions.ts';

export { type Judge, type StreamKind } from './sessions.ts';

/** The options of connections. */
export type StreamConnectionOptions = Pick<
  TcpSwarmOptions,
  | 'bind'
  | 'connectTimeoutMs'
  | 'reusePort'
  | 'network'
  | 'signal'
  | 'maxConnections'
  | 'maxConnectionsPerIp'
  | 'maxConnecting'
  | 'groupIpv6'
>;

/**
 * Opens a swarm.
 *
 * @param securityOf - the handshake of its connections. `noteFault` counts what is wrong in one.
 * @throws (by rejection) as `openTcpSwarm`.
 */
export function openStreamSwarm<A extends StreamAddr>(
  kind: StreamKind<A>,
  resolved: ResolvedOptions<A>,
  options: StreamConnectionOptions,
  securityOf: (judge: Judge, noteFault: TcpSessions<A>['noteFault']) => Handshake,
): Promise<ReturnType<typeof sessionSwarm<A>>> {
  checkCall({ signal: options.signal });
  const { id, publicKey, realm, maxMessageBytes, maxQueueBytes, maxSwarmBytes, idleTimeoutMs, pending } = resolved;
  const { bind, connectTimeoutMs, reusePort, maxConnections, maxConnectionsPerIp, maxConnecting, groupIpv6 } = options;
  const limits = { maxConnections, maxConnectionsPerIp, maxConnecting, groupIpv6 };
  const { network = systemNetwork } = options;
  // The sessions count the memory that peers use.
  const node = createNode({
    ...limits,
    maxNodeBytes: 2 ** 50,
    codec: RAW_CODEC,
    security: securityOf(
      (connection, key, signal) => sessions!.judge(connection, key, signal),
      (connection, fault) => sessions!.noteFault(connection, fault),
    ),
    name: id,
    bind,
    connectTimeoutMs,
    reusePort,
    realm,
    network,
  });
  let sessions: TcpSessions<A> | undefined;
  const parts: SessionSwarmParts<A> = {
    layer: kind.layer,
    realm,
    id,
    publicKey,
    inner: new NodeCounters(node),
    maxMessageBytes,
    limits: { maxQueueBytes, maxSwarmBytes, idleTimeoutMs, ...pending },
    localAddrs: () => {
      const bound = parseSocketAddress(node.listeningAddr ?? '');
      return bound === undefined ? [] : addrsOfBound(kind.addrOf(id, bound), network.interfaces());
    },
    parseAddr: (text) => kind.parseAddr(text),
    mtu: (dst) => Math.min(maxMessageBytes, sessions?.inUse.get(dst.id)?.peerMaxBytes ?? Infinity),
    sessions: (hooks) => (sessions = new TcpSessions(node, kind, resolved, hooks)),
    release: () => node.close(),
  };
  const swarm = sessionSwarm(parts);
  return listening(swarm, node.listen(), options.signal);
}

/** The swarm once it listens; it is closed when listening fails or is aborted. */
async function listening<S extends { close(): Promise<void> }>(
  swarm: S,
  listens: Promise<string>,
  signal: AbortSignal | undefined,
): Promise<S> {
  try {
    await listens;
    signal?.throwIfAborted();
    return swarm;
  } catch (error) {
    await swarm.close();
    throw error;
  }
}
