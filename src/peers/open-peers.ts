/** Opens a connection manager: its transports, and the swarm over them. */

import { formatSocketAddress, ipVersion, type SocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import { type AcceptPeer } from '../core/accept.ts';
import { ipOf, portOf } from '../core/addr.ts';
import { type Network } from '../net/network.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { openQuicSwarm } from '../swarms/quic/index.ts';
import { openTcpSwarm } from '../swarms/tcp/index.ts';
import { checkCall } from '../runtime/waits.ts';
import { type PeersOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { Signals } from './signals.ts';
import { closeSources, type OpenSource, openSources, sourcesOf } from './sources.ts';
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
  let sources: readonly OpenSource[] = [];
  /** The object that is being opened, and what went wrong before it was there. Bounded by the sources. */
  let peers: PeersSwarm | undefined;
  const early: (readonly [source: string, text: string])[] = [];
  const signals = new Signals(resolved);
  const ownAddrs = (): readonly string[] => peers?.addrs ?? [];
  try {
    const binds = options.bind === undefined || typeof options.bind === 'string' ? [options.bind] : options.bind;
    for (const bind of binds) opened.push(...(await openOwn(options, { ...resolved, realm: signals.realm }, bind)));
    const fault = (source: string, text: string): void => {
      if (peers === undefined) early.push([source, text]);
      else peers.fault(source, text);
    };
    sources = await openSources(options, resolved, { ownAddrs, fault });
    options.signal?.throwIfAborted();
  } catch (error) {
    await Promise.all([...opened.map(({ swarm }) => swarm.close()), closeSources(sources)]);
    throw error;
  }
  for (const transport of resolved.transports) if (typeof transport !== 'string') opened.push(transport);
  peers = new PeersSwarm({ ...resolved, sources: sourcesOf(sources) }, opened, signals, sources);
  for (const [source, text] of early) peers.fault(source, text);
  if (sources.length > 0) peers.start(options);
  return peers;
}

/** TCP and QUIC on one address, with one port. */
async function openOwn(
  options: PeersOptions,
  resolved: ResolvedOptions,
  bind: string | undefined,
): Promise<readonly TransportOptions[]> {
  const { ip, port } = bind === undefined ? defaultBind(resolved.network) : parseIpSocketAddress(bind, 'bind');
  const preferred = port === 0 ? (options.preferredPort ?? 0) : port;
  for (let tries = 0; ; tries++) {
    try {
      return await openPair(resolved, ip, tries === 0 ? preferred : 0, options.signal);
    } catch (error) {
      if (port !== 0 || tries >= MAX_PORT_TRIES || !P2PError.is(error, 'in_use')) throw error;
    }
  }
}

/** Dual stack where the machine is. */
function defaultBind(network: Network): SocketAddress {
  const hasIpv6 = network.interfaces().some(({ ip }) => ipVersion(ip) === 6);
  return { ip: hasIpv6 ? '::' : '0.0.0.0', port: 0 };
}

async function openPair(
  resolved: ResolvedOptions,
  ip: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<readonly TransportOptions[]> {
  const { privateKey, realm, network, limits, transports, security } = resolved;
  const maxMessageBytes = limits.maxMessageBytes + OVERHEAD_BYTES;
  const { lists } = resolved;
  const accept = ({ id, addr }: AcceptPeer): boolean => lists.decide({ id, ip: ipOf(addr) }).isAllowed;
  const shared = { privateKey, realm, network, maxMessageBytes, signal, accept };
  const opened: TransportOptions[] = [];
  let bind = formatSocketAddress(ip, port);
  try {
    for (const name of ['tcp', 'quic'] as const) {
      if (!transports.includes(name)) continue;
      const swarm =
        name === 'tcp' ? await openTcpSwarm({ ...shared, security, bind }) : await openQuicSwarm({ ...shared, bind });
      opened.push({ name, swarm, isReliable: true });
      bind = formatSocketAddress(ip, portOf(swarm.addr) ?? 0);
    }
  } catch (error) {
    await Promise.all(opened.map(({ swarm }) => swarm.close()));
    throw error;
  }
  return opened;
}
