/** Opens a connection manager: its transports, and the swarm over them. */

import { formatSocketAddress, parseSocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import { portOf } from '../core/addr.ts';
import { openQuicSwarm } from '../swarms/quic/index.ts';
import { openTcpSwarm } from '../swarms/tcp/index.ts';
import { checkCall } from '../runtime/waits.ts';
import { type PeersOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { type Peers, PeersSwarm } from './peers-swarm.ts';
import { type TransportOptions } from './transport.ts';

/** What a message of the connection manager adds to the payload on a transport, at most. */
const OVERHEAD_BYTES = 1024;
/** How often another random port is tried, when the one that TCP got is not free for UDP. */
const MAX_PORT_TRIES = 16;

/**
 * Opens a connection manager: one connection with each peer, found and dialled by PeerID, over the best transport there is.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `in_use` when a port is taken, `unreachable` when this machine does not have the address.
 *
 * @example
 * ```ts
 * await using peers = await openPeers({ privateKey, networkName: 'my-app', sources: [contacts] });
 * const answer = await peers.ask(bobId, request);
 * ```
 */
export function openPeers(options: PeersOptions): Promise<Peers> {
  const resolved = resolveOptions(options);
  checkCall({ signal: options.signal });
  return open(options, resolved);
}

async function open(options: PeersOptions, resolved: ResolvedOptions): Promise<Peers> {
  const opened: TransportOptions[] = [];
  try {
    const binds = options.bind === undefined || typeof options.bind === 'string' ? [options.bind] : options.bind;
    for (const bind of binds) opened.push(...(await openOwn(options, resolved, bind)));
    options.signal?.throwIfAborted();
  } catch (error) {
    await Promise.all(opened.map(({ swarm }) => swarm.close()));
    throw error;
  }
  for (const transport of resolved.transports) if (typeof transport !== 'string') opened.push(transport);
  return new PeersSwarm(resolved, opened);
}

/** TCP and QUIC on one address, with one port. */
async function openOwn(
  options: PeersOptions,
  resolved: ResolvedOptions,
  bind: string | undefined,
): Promise<readonly TransportOptions[]> {
  const wanted = parseSocketAddress(bind ?? '');
  const isRandom = (wanted?.port ?? 0) === 0;
  const preferred = isRandom ? options.preferredPort : undefined;
  for (let tries = 0; ; tries++) {
    const port = tries === 0 && preferred !== undefined ? preferred : wanted?.port;
    const at = port === undefined || wanted === undefined ? withPort(bind, port) : formatSocketAddress(wanted.ip, port);
    try {
      return await openPair(resolved, at, options.signal);
    } catch (error) {
      if (!isRandom || tries >= MAX_PORT_TRIES || !P2PError.is(error, 'in_use')) throw error;
    }
  }
}

/** The default address with a port, which is dual stack where the machine is. */
function withPort(bind: string | undefined, port: number | undefined): string | undefined {
  return port === undefined || bind !== undefined ? bind : formatSocketAddress('::', port);
}

async function openPair(
  resolved: ResolvedOptions,
  bind: string | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly TransportOptions[]> {
  const { privateKey, realm, network, limits, transports, security } = resolved;
  const maxMessageBytes = limits.maxMessageBytes + OVERHEAD_BYTES;
  const shared = { privateKey, realm, network, maxMessageBytes, signal };
  const opened: TransportOptions[] = [];
  let at = bind;
  try {
    for (const name of ['tcp', 'quic'] as const) {
      if (!transports.includes(name)) continue;
      const swarm =
        name === 'tcp' ? await openTcpSwarm({ ...shared, security, bind: at }) : await openQuicSwarm({ ...shared, bind: at });
      opened.push({ name, swarm, isReliable: true });
      const [first] = swarm.localAddrs();
      const port = first === undefined ? undefined : portOf(first);
      const ip = parseSocketAddress(bind ?? '')?.ip ?? '::';
      if (port !== undefined) at = formatSocketAddress(ip, port);
    }
  } catch (error) {
    await Promise.all(opened.map(({ swarm }) => swarm.close()));
    throw error;
  }
  return opened;
}
