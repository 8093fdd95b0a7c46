/**
 * `shoal/ssh`: authenticated, encrypted messages over SSH-2, as go-p2p's sshswarm: addresses are `SHA256:…@ip:port`, peers of either
 * library talk to each other. Between peers of this project asks are concurrent and large messages go in parts, as with `shoal/tcp`; to all
 * others a message is one global request, and answers come in order.
 *
 * @example
 * ```ts
 * const privateKey = generateKey();
 * await using swarm = await openSshSwarm({ bind: '127.0.0.1:0', privateKey });
 * swarm.serve(({ payload }) => payload);
 * ```
 */

import type { Recheckable } from '../../core/accept.ts';
import type { SecureAskSwarm } from '../../core/secure.ts';
import type { TcpConnection } from '../../node/index.ts';
import { SshSession } from '../../protocols/ssh/session.ts';
import type { SshTransport } from '../../protocols/ssh/transport.ts';
import { openStreamSwarm, type StreamKind } from '../tcp/stream-swarm.ts';
import { parseSshAddr, type SshAddr, sshAddr, sshNameOf } from './address.ts';
import { sshHandshake } from './handshake.ts';
import { resolveSshOptions, type SshSwarmOptions } from './options.ts';

export { type SshAddr, type SshSocketAddr } from './address.ts';
export { type SshSwarmOptions } from './options.ts';

/** Messages by the fingerprints of keys over SSH. */
export interface SshSwarm extends SecureAskSwarm<SshAddr>, Recheckable {}

/**
 * Opens an SSH swarm: it listens, and dials peers when messages are sent to them.
 *
 * A tell or an ask dials if there is no connection, and waits for it. It rejects with `identity_mismatch` when a peer
 * with another key answers, `refused` when either side refuses, `unreachable`, `timeout`, `unsupported` when no SSH with the algorithms of
 * this side answers; `mtu_exceeded`, also when the peer's limit is lower than this side's; `limit_exceeded` when too much waits;
 * `disconnected` when the connection ends first.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options, and for a key that is not Ed25519.
 * @throws {P2PError} (by rejection) `in_use` when the port is in use, `unreachable` when this machine does not have the
 * address.
 */
export function openSshSwarm(options: SshSwarmOptions): Promise<SshSwarm> {
  const resolved = resolveSshOptions(options);
  const { privateKey, handshakeTimeoutMs } = options;
  /** Of authenticated connections that have no session yet. Bounded by the connections. */
  const transports = new WeakMap<TcpConnection, SshTransport>();
  const kind: StreamKind<SshAddr> = {
    layer: 'ssh',
    addrOf: sshAddr,
    nameOf: sshNameOf,
    parseAddr: parseSshAddr,
    machine: (connection, sessionOptions, nowMs) => {
      const transport = transports.get(connection)!;
      transports.delete(connection);
      return new SshSession(transport, sessionOptions, nowMs);
    },
  };
  return openStreamSwarm(kind, resolved, options, (judge, noteFault) =>
    sshHandshake({
      options: resolved,
      privateKey,
      timeoutMs: handshakeTimeoutMs,
      judge,
      noteFault,
      done: (connection, transport) => void transports.set(connection, transport),
    }),
  );
}
