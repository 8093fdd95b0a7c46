/**
 * `shoal/quic`: authenticated, encrypted, flow-controlled messages over QUIC, on any swarm that carries 1200 bytes.
 * Tells of any size up to `maxMessageBytes`, asks, the keys of the peers. Streams are independent: nothing waits for
 * another message's lost packet, and so messages may overtake each other.
 *
 * @example
 * ```ts
 * const privateKey = generateKey();
 * await using swarm = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey });
 * swarm.serve(({ payload }) => payload);
 * ```
 */

import { openUdpSwarm } from '#udp';
import type { Addr } from '../../core/addr.ts';
import { describeValue } from '../../base/checks.ts';
import type { Swarm } from '../../core/swarm.ts';
import { exportKey } from '../../identity/import-key.ts';
import { QuicEndpoint } from '../../protocols/quic/endpoint.ts';
import { resolveSettings } from '../../protocols/quic/settings.ts';
import type { UdpAddr } from '../../net/socket-address.ts';
import type { UdpSwarmOptions } from '../../net/udp/open-udp-swarm.ts';
import { MIN_INNER_MTU } from '../../quic/quic-driver.ts';
import { identityOf, resetKeyOf } from '../../identity/quic-identity.ts';
import { loadQuicEngine, quicEngine } from '../../quic/load-engine.ts';
import { type QuicSwarmOptions, resolveOptions } from './options.ts';
import { type QuicSwarm, quicSwarm } from './swarm.ts';

export { type QuicAddr } from './address.ts';
export { loadQuicEngine } from '../../quic/load-engine.ts';
export { type QuicSwarmOptions } from './options.ts';
export { type QuicTransportOptions } from '../../protocols/quic/settings.ts';
export { type QuicSwarm } from './swarm.ts';

/** go-p2p's name for the protocol; shoal speaks the same, so that either reaches the other. */
const ALPN = 'p2p';
/** The largest datagrams that MTU discovery looks for where the swarm below carries more: jumbo frames. */
const MAX_MTU_BYTES = 9000;
/** Requests that can be refused at a time on top of those that pend. */
const REFUSABLE_STREAMS = 64;
/** Each allowed stream costs about 130 bytes a connection, used or not. */
const MAX_BIDI_STREAMS = 4096;
/** UDP payload that fits IPv6 over Ethernet: 1500 less 48 bytes of headers. */
const UDP_MTU_BYTES = 1452;

/**
 * QUIC over a swarm.
 *
 * @param inner - carries the datagrams: 1200 bytes and more. It is closed with this one, unless `keepInner` is set.
 * @throws {TypeError | RangeError} for options out of bounds, and when `inner` carries less than 1200 bytes.
 */
export function quic<I extends Addr>(inner: Swarm<I>, options: QuicSwarmOptions<I>): QuicSwarm<I> {
  if (typeof inner !== 'object' || inner === null || !('tell' in inner)) {
    throw new TypeError(`Cannot take inner: expected a swarm, got ${describeValue(inner)}`);
  }
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const resolved = resolveOptions(options);
  const [local] = inner.localAddrs();
  const innerMtu = local === undefined ? MIN_INNER_MTU : inner.mtu(local);
  if (innerMtu < MIN_INNER_MTU) {
    throw new RangeError(
      `Cannot make quic: the swarm below carries ${innerMtu} bytes, QUIC needs ${MIN_INNER_MTU}; wrap it in frag()`,
    );
  }
  const engines = quicEngine();
  const { realm } = inner;
  return quicSwarm(inner, resolved, (hooks) => {
    const { privateKey: _, accept: __, ...transport } = options;
    return new QuicEndpoint(
      {
        ...transport,
        maxMtuBytes: options.maxMtuBytes ?? Math.min(innerMtu, MAX_MTU_BYTES),
        // Requests beyond what may pend must get here, so that they are refused and their askers know.
        maxBidiStreams:
          options.maxBidiStreams ?? Math.min(resolved.pending.maxPendingMessages + REFUSABLE_STREAMS, MAX_BIDI_STREAMS),
        engines,
        random: (length) => realm.random(length),
        identity: identityOf(options.privateKey, realm),
        alpn: [ALPN],
        keyLog: options.onKeyLog !== undefined,
        holdPeers: options.accept !== undefined,
        windowBudgetBytes: resolved.maxSwarmBytes,
        ...hooks,
      },
      realm.nowMs(),
    );
  });
}

/** How a QUIC swarm on UDP is opened. */
export interface OpenQuicSwarmOptions
  extends
    QuicSwarmOptions<UdpAddr>,
    Pick<UdpSwarmOptions, 'bind' | 'recvBufferBytes' | 'sendBufferBytes' | 'realm' | 'network' | 'signal'> {}

/**
 * QUIC on a UDP socket of its own: dials and listens on one port. `resetKey` is derived from the key and the address, so
 * that peers of one that was started again at the same port notice at once.
 *
 * @throws {TypeError | RangeError} (at once) for options out of bounds.
 * @throws {P2PError} (by rejection) as `openUdpSwarm`; `unsupported` in browsers.
 */
export function openQuicSwarm(options: OpenQuicSwarmOptions): Promise<QuicSwarm<UdpAddr>> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  resolveOptions(options);
  resolveSettings({ ...options, alpn: [ALPN], listen: false }); // The engine takes them much later: complain now.
  const maxMtuBytes = options.maxMtuBytes ?? UDP_MTU_BYTES;
  const { bind, recvBufferBytes, sendBufferBytes, realm, network, signal } = options;
  const sockets = { bind, recvBufferBytes, sendBufferBytes, network };
  const udp = openUdpSwarm({ ...sockets, realm, signal, maxDatagramBytes: maxMtuBytes });
  return openOn(udp, { ...options, maxMtuBytes });
}

async function openOn(
  opening: Promise<Swarm<UdpAddr>>,
  options: QuicSwarmOptions<UdpAddr>,
): Promise<QuicSwarm<UdpAddr>> {
  const udp = await opening;
  try {
    await loadQuicEngine();
    // The socket is ours alone, so no other endpoint has this address.
    const resetKey = options.resetKey ?? resetKeyOf(exportKey(options.privateKey, 'pkcs8'), udp.addr.text);
    return quic(udp, { ...options, resetKey });
  } catch (error) {
    await udp.close();
    throw error;
  }
}
