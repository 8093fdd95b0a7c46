/** The transports that `openPeers` makes: TCP, and QUIC over UDP on the same port. */

import { formatSocketAddress, ipVersion, type SocketAddress } from '../base/ip.ts';
import type { AcceptPeer } from '../core/accept.ts';
import { type Addr, ipOf, portOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { Swarm } from '../core/swarm.ts';
import type { PrivateKey } from '../identity/private-key.ts';
import { exportKey } from '../identity/import-key.ts';
import { resetKeyOf } from '../identity/quic-identity.ts';
import { observingListeners } from '../nat/observing-listeners.ts';
import { punchedTcp, type PunchedTcpNetwork } from '../nat/punch/punched-tcp.ts';
import type { PunchedConnection, Puncher } from '../nat/punch/puncher.ts';
import { punching } from '../nat/punch/punching.ts';
import { tcpPuncher } from '../nat/punch/tcp-puncher.ts';
import { udpPuncher } from '../nat/punch/udp-puncher.ts';
import { StunHandler } from '../nat/stun-handler.ts';
import type { Network } from '../net/network.ts';
import { probeTcp } from '../net/probe-tcp.ts';
import { parseIpSocketAddress, type UdpAddr, udpAddr } from '../net/socket-address.ts';
import { loadQuicEngine, quic } from '../swarms/quic/index.ts';
import { openTcpSwarm } from '../swarms/tcp/index.ts';
import { openUdpSwarm } from '../swarms/udp.ts';
import { mask } from '../wrappers/mask.ts';
import type { ResolvedOptions } from './options.ts';
import type { OpenedTransport } from './transport.ts';

/** What a message of the connection manager adds to the payload on a transport, at most. */
const OVERHEAD_BYTES = 1024;
/** Connections of a transport, however few peers are wanted: some are being opened, or replaced by others. */
const MIN_CONNECTIONS = 1000;
/** How often another random port is tried, when the one that TCP got is not free for UDP. */
const MAX_PORT_TRIES = 16;
/** UDP payload that fits IPv6 over Ethernet: 1500 less 48 bytes of headers. */
const MAX_DATAGRAM_BYTES = 1452;
/** How long a probe waits: one round trip to the other side of the world, and the time of a busy host. */
const PROBE_MS = 900;

/**
 * Opens TCP and QUIC on one address, with one port.
 *
 * @param bind - port 0: the preferred one if it is free, else a random one. @default all addresses
 * @throws (by rejection) {P2PError} `in_use`, `unreachable`.
 */
export async function openOwn(
  options: ResolvedOptions,
  bind: string | undefined,
  preferredPort: number | undefined,
  signal?: AbortSignal,
): Promise<readonly OpenedTransport[]> {
  const { ip, port } = bind === undefined ? defaultBind(options.network) : parseIpSocketAddress(bind, 'bind');
  const first = port === 0 ? (preferredPort ?? 0) : port;
  for (let tries = 0; ; tries++) {
    try {
      return await openPair(options, ip, tries === 0 ? first : 0, signal);
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
  options: ResolvedOptions,
  ip: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<readonly OpenedTransport[]> {
  const opened: OpenedTransport[] = [];
  let bind = formatSocketAddress(ip, port);
  try {
    for (const [name, open] of [
      ['tcp', openTcp],
      ['quic', openQuic],
    ] as const) {
      if (!options.transports.includes(name)) continue;
      const transport = await open(options, bind, signal);
      opened.push(transport);
      bind = formatSocketAddress(ip, portOf(transport.swarm.addr as Addr) ?? 0);
    }
  } catch (error) {
    await Promise.all(opened.map(({ swarm }) => swarm.close()));
    throw error;
  }
  return opened;
}

/** What all transports need. */
interface SharedOptions {
  readonly privateKey: PrivateKey;
  readonly maxConnections: number;
  readonly maxMessageBytes: number;
  readonly accept: (peer: AcceptPeer) => boolean;
}

export function transportOptions({ privateKey, limits, lists, maxPeers }: ResolvedOptions): SharedOptions {
  return {
    privateKey,
    maxConnections: Math.max(maxPeers, MIN_CONNECTIONS),
    maxMessageBytes: limits.maxMessageBytes + OVERHEAD_BYTES,
    accept: ({ id, addr }: AcceptPeer): boolean => lists.decide({ id, ip: ipOf(addr) }).isAllowed,
  };
}

async function openTcp(
  options: ResolvedOptions,
  bind: string,
  signal: AbortSignal | undefined,
): Promise<OpenedTransport> {
  const { realm, security, mask, punch } = options;
  // What would show that this is shoal is left out behind a mask.
  const isPlain = mask === undefined;
  const observing = isPlain ? observingListeners({ network: options.tcpNetwork, realm }) : options.tcpNetwork;
  const network = punchedTcp({ network: observing, realm });
  const swarm = await openTcpSwarm({ ...transportOptions(options), realm, network, security, mask, bind, signal });
  const observers = (): readonly SocketAddress[] => options.observers.list('tcp');
  const puncher =
    punch && isPlain && !options.isProxied
      ? adopting(tcpPuncher({ network: options.network, realm, observers }), network)
      : undefined;
  const probe = (addr: Addr): Promise<boolean> => probeTcp(options.tcpNetwork, socketOf(addr), realm);
  return { name: 'tcp', swarm, isReliable: true, isOwn: true, probe, puncher };
}

/** A puncher whose connections the swarm over a network takes over. */
function adopting(puncher: Puncher<PunchedConnection>, network: PunchedTcpNetwork): Puncher {
  return {
    offer: (call) => puncher.offer(call),
    punch: async (own, theirs, call) => {
      const path = await puncher.punch(own, theirs, call);
      if (network.adopt(path.remote, path.connection, call.side)) return path;
      throw new P2PError('closed', 'local', 'Cannot use the punched connection: the listener is closed');
    },
    [Symbol.asyncDispose]: () => puncher[Symbol.asyncDispose](),
  };
}

/** QUIC on a UDP socket that also answers STUN, as an observer for others. */
async function openQuic(
  options: ResolvedOptions,
  bind: string,
  signal: AbortSignal | undefined,
): Promise<OpenedTransport> {
  const { realm, privateKey, onKeyLog, punch, mask } = options;
  const network = punching(options.network);
  const udp = await openUdpSwarm({ bind, realm, network, signal, maxDatagramBytes: MAX_DATAGRAM_BYTES });
  try {
    await loadQuicEngine();
    const below = masked(udp, options);
    const stun = new StunHandler(realm, (to, bytes) => void below.tell(udpAddr(to), bytes));
    void udp.closed.then(() => stun.close());
    const swarm = quic(below, {
      ...transportOptions(options),
      onKeyLog,
      // The socket is ours alone, so no other endpoint has this address.
      resetKey: resetKeyOf(exportKey(privateKey, 'pkcs8'), udp.addr.text),
      onOther: ({ src, dst, payload }) => void stun.handle(socketOf(src), socketOf(dst), payload),
    });
    const probe = (addr: Addr): Promise<boolean> =>
      stun.observe(socketOf(addr), { repeat: false, timeoutMs: PROBE_MS }).then(
        () => true,
        () => false,
      );
    // Probes of a punch are STUN, which a mask is to hide.
    const canPunch = punch && mask === undefined;
    const observers = (): readonly SocketAddress[] => options.observers.list('quic');
    const puncher = canPunch ? udpPuncher({ network, port: udp.addr.port, observers, realm }) : undefined;
    return { name: 'quic', swarm, isReliable: true, isOwn: true, probe, puncher };
  } catch (error) {
    await udp.close();
    throw error;
  }
}

/** A datagram swarm, masked if there is a key for that. */
export function masked(udp: Swarm<UdpAddr>, { mask: options }: ResolvedOptions): Swarm<UdpAddr> {
  return options === undefined ? udp : mask(udp, options);
}

function socketOf(addr: Addr): SocketAddress {
  return { ip: ipOf(addr) ?? '', port: portOf(addr) ?? 0 };
}
