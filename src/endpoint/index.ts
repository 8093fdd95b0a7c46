/**
 * `shoal/endpoint`: connections and streams over QUIC. `shoal/quic` is the same transport as a swarm: messages to peers, without
 * connections. `preset: 'qp2p'` speaks with peers that run qp2p.
 *
 * @example
 * ```ts
 * await using endpoint = await openEndpoint({ bind: '127.0.0.1:0' });
 * const connection = await endpoint.connect('127.0.0.1:5000');
 * await connection.send(encodeText('marco'), { acked: true });
 * ```
 */

import { openUdpSwarm } from '#udp';
import type { Addr } from '../core/addr.ts';
import { describeValue } from '../base/checks.ts';
import type { Realm } from '../core/realm.ts';
import type { Swarm } from '../core/swarm.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { QuicEndpoint } from '../protocols/quic/endpoint.ts';
import { MIN_INNER_MTU } from '../quic/quic-driver.ts';
import { resetKeyOf } from '../identity/quic-identity.ts';
import { loadQuicEngine, quicEngine } from '../quic/load-engine.ts';
import type { UdpAddr } from '../net/socket-address.ts';
import { CLOSE_CODE, STREAM_CODE } from './codes.ts';
import type { Endpoint } from './endpoint.ts';
import { type ResolvedIdentity, resolveIdentity } from './identity.ts';
import { LiveEndpoint } from './live-endpoint.ts';
import type { Qp2pMessage } from './message.ts';
import { bytesFormat, type MessageFormat, qp2pFormat } from './message-format.ts';
import {
  type EndpointOptions,
  type EndpointOverOptions,
  type NoPreset,
  type OpenEndpointOptions,
  type OpenEndpointOverOptions,
  type Qp2pPreset,
  type ResolvedEndpointOptions,
  resolveEndpointOptions,
} from './options.ts';

export { CLOSE_CODE, STREAM_CODE };
export { type CloseOptions, type QuicConnection, type ConnectionClosed, type RequestOptions } from './connection.ts';
export {
  type ConnectTarget,
  type ConnectOptions,
  type ConnectToAnyOptions,
  type Endpoint,
  type EndpointEvent,
  type EventFeed,
  type EventOptions,
  type PeerTarget,
  type SendToOptions,
} from './endpoint.ts';
export { type ClosedBy } from '../protocols/quic/closed.ts';
export { type ConnectionStats } from '../protocols/quic/engine.ts';
export { type Feed, type FeedOptions } from './feed.ts';
export { type CertificateSource } from './identity.ts';
export { type IncomingMessage } from './incoming-message.ts';
export { type OutgoingMessage, type OutgoingQp2pMessage, type Qp2pMessage } from './message.ts';
export {
  type EndpointOptions,
  type EndpointOverOptions,
  type EndpointRetry,
  type NoPreset,
  type OpenEndpointOptions,
  type OpenEndpointOverOptions,
  type Qp2pPreset,
} from './options.ts';
export {
  type BiStream,
  type IncomingStream,
  type ReceiveStream,
  type SendOptions,
  type SendStream,
  type StreamId,
} from './stream.ts';
export { type Trust } from './trust.ts';

/** The largest datagrams that MTU discovery looks for where the swarm below carries more: jumbo frames. */
const MAX_MTU_BYTES = 9000;
/** UDP payload that fits IPv6 over Ethernet: 1500 less 48 bytes of headers. */
const UDP_MTU_BYTES = 1452;

/**
 * An endpoint over a datagram swarm: over a memory realm's for tests in virtual time, for example.
 *
 * @param inner - carries the datagrams: 1200 bytes and more. It is closed with the endpoint, unless `keepInner` is set.
 * @throws {TypeError | RangeError} for options out of bounds, and when `inner` carries less than 1200 bytes.
 */
export function endpoint<A extends Addr>(inner: Swarm<A>, options?: EndpointOverOptions<A> & NoPreset): Endpoint<A>;
export function endpoint<A extends Addr>(
  inner: Swarm<A>,
  options: EndpointOverOptions<A> & Qp2pPreset,
): Endpoint<A, Qp2pMessage>;
export function endpoint<A extends Addr>(
  inner: Swarm<A>,
  options: EndpointOverOptions<A> & (NoPreset | Qp2pPreset) = {},
): Endpoint<A> | Endpoint<A, Qp2pMessage> {
  assertSwarm(inner, 'inner');
  const prepared = prepare(options, inner.realm);
  return options.preset === 'qp2p'
    ? endpointOn(inner, options, prepared, qp2pFormat)
    : endpointOn(inner, options, prepared, bytesFormat);
}

function assertSwarm(value: unknown, label: string): void {
  if (typeof value !== 'object' || value === null || !('tell' in value)) {
    throw new TypeError(`Cannot take ${label}: expected a swarm, got ${describeValue(value)}`);
  }
}

/** Options that have been checked, all that can be without a socket. */
interface Prepared<A extends Addr> {
  readonly resolved: ResolvedEndpointOptions<A>;
  readonly identity: ResolvedIdentity;
}

/** @throws {TypeError | RangeError} for options out of bounds. */
function prepare<A extends Addr>(options: EndpointOptions<A> & (NoPreset | Qp2pPreset), realm: Realm): Prepared<A> {
  const resolved = resolveEndpointOptions(options);
  const identity = resolveIdentity(options, realm, resolved.qp2p);
  return { resolved, identity };
}

function endpointOn<A extends Addr, M>(
  inner: Swarm<A>,
  options: EndpointOverOptions<A>,
  { resolved, identity }: Prepared<A>,
  format: MessageFormat<M>,
): Endpoint<A, M> {
  const [local] = inner.localAddrs();
  const innerMtu = local === undefined ? MIN_INNER_MTU : inner.mtu(local);
  if (innerMtu < MIN_INNER_MTU) {
    throw new RangeError(
      `Cannot make endpoint: the swarm below carries ${innerMtu} bytes, QUIC needs ${MIN_INNER_MTU}; wrap it in frag()`,
    );
  }
  const { realm } = inner;
  const { trust, qp2p, connectTimeoutMs } = resolved;
  const { publicKey, quic } = identity;
  const engines = quicEngine();
  return new LiveEndpoint<A, M>({
    inner,
    resolved,
    format,
    publicKey,
    peerId: peerIdOfKey(publicKey, resolved.fingerprint),
    keepInner: options.keepInner ?? false,
    makeEndpoint: (hooks) =>
      new QuicEndpoint(
        {
          ...resolved.transport,
          maxMtuBytes: resolved.transport.maxMtuBytes ?? Math.min(innerMtu, MAX_MTU_BYTES),
          engines,
          random: (length) => realm.random(length),
          identity: quic,
          listen: resolved.listen,
          alpn: resolved.alpn,
          clientCertificates: qp2p ? 'none' : trust.authenticates ? 'required' : 'optional',
          addressValidation: options.addressValidation,
          maxConnections: options.maxConnections,
          // Calls give up earlier; this ends connections whose peer says nothing more.
          handshakeTimeoutMs: 2 * Math.max(connectTimeoutMs, MIN_HANDSHAKE_MS),
          keyLog: options.onKeyLog !== undefined,
          holdPeers: options.accept !== undefined,
          windowBudgetBytes: resolved.maxEndpointBytes,
          displacedCode: CLOSE_CODE.TOO_MANY,
          ...hooks,
        },
        realm.nowMs(),
      ),
  });
}

const MIN_HANDSHAKE_MS = 5000;

/** How an endpoint is opened, on a socket of its own or on a swarm, with a preset or without. */
type AnyOptions<A extends Addr> = (OpenEndpointOptions | OpenEndpointOverOptions<A>) & (NoPreset | Qp2pPreset);

/**
 * An endpoint on a UDP socket of its own, or with `over` on any swarm: dials and listens on one port.
 *
 * @throws {TypeError | RangeError} (at once) for options out of bounds.
 * @throws {P2PError} (by rejection) `in_use` when the port is taken, `unreachable` when the address is not this machine's;
 *   `unsupported` in browsers, where only `over` works.
 */
export function openEndpoint(options?: OpenEndpointOptions & NoPreset): Promise<Endpoint<UdpAddr>>;
export function openEndpoint(options: OpenEndpointOptions & Qp2pPreset): Promise<Endpoint<UdpAddr, Qp2pMessage>>;
export function openEndpoint<A extends Addr>(options: OpenEndpointOverOptions<A> & NoPreset): Promise<Endpoint<A>>;
export function openEndpoint<A extends Addr>(
  options: OpenEndpointOverOptions<A> & Qp2pPreset,
): Promise<Endpoint<A, Qp2pMessage>>;
export function openEndpoint<A extends Addr>(
  options: AnyOptions<A> = {},
): Promise<Endpoint<UdpAddr> | Endpoint<A> | Endpoint<UdpAddr, Qp2pMessage> | Endpoint<A, Qp2pMessage>> {
  return options.preset === 'qp2p' ? open(options, qp2pFormat) : open(options, bytesFormat);
}

function open<A extends Addr, M>(
  options: AnyOptions<A>,
  format: MessageFormat<M>,
): Promise<Endpoint<UdpAddr, M> | Endpoint<A, M>> {
  if (options.over !== undefined) {
    assertSwarm(options.over, 'over');
    if (options.bind !== undefined) throw new TypeError('Cannot take bind: over is there too');
    return openOver(options, prepare(options, options.over.realm), format);
  }
  const prepared = prepare(options, options.realm ?? systemRealm);
  const maxMtuBytes = options.maxMtuBytes ?? UDP_MTU_BYTES;
  const { bind, recvBufferBytes, sendBufferBytes, realm, network, signal } = options;
  const sockets = { bind, recvBufferBytes, sendBufferBytes, network };
  const udp = openUdpSwarm({ ...sockets, realm, signal, maxDatagramBytes: maxMtuBytes });
  return openOn(udp, options, prepared, format);
}

async function openOver<A extends Addr, M>(
  options: OpenEndpointOverOptions<A>,
  prepared: Prepared<A>,
  format: MessageFormat<M>,
): Promise<Endpoint<A, M>> {
  options.signal?.throwIfAborted();
  await loadQuicEngine();
  return endpointOn(options.over, options, prepared, format);
}

async function openOn<M>(
  opening: Promise<Swarm<UdpAddr>>,
  options: EndpointOptions<UdpAddr>,
  prepared: Prepared<UdpAddr>,
  format: MessageFormat<M>,
): Promise<Endpoint<UdpAddr, M>> {
  const udp = await opening;
  try {
    await loadQuicEngine();
    // The socket is ours alone, so no other endpoint has this address (RFC 9000 §21.11).
    const { resolved, identity } = prepared;
    const resetKey = options.resetKey ?? resetKeyOf(identity.quic.privateKey, udp.addr.text);
    const transport = { ...resolved.transport, resetKey };
    return endpointOn(udp, options, { identity, resolved: { ...resolved, transport } }, format);
  } catch (error) {
    await udp.close();
    throw error;
  }
}
