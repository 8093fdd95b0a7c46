/** Options of endpoints, with their defaults and bounds. */

import type { Accept } from '../core/accept.ts';
import type { Addr } from '../core/addr.ts';
import { assertFunction, describeOption, describeValue, wholeNumber } from '../base/checks.ts';
import type { Message } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import type { Swarm } from '../core/swarm.ts';
import type { RetryOptions } from '../runtime/retry.ts';
import { type Fingerprint, fingerprints } from '../identity/fingerprints.ts';
import type { PrivateKey } from '../identity/private-key.ts';
import { assertPendingLimits, type PendingLimits } from '../swarm-kit/pending-budget.ts';
import { MAX_PART_BYTES } from '../protocols/endpoint/frame.ts';
import { type QuicTransportOptions, resolveSettings } from '../protocols/quic/settings.ts';
import type { Network } from '../net/network.ts';
import type { UdpAddr } from '../net/socket-address.ts';
import type { CertificateSource } from './identity.ts';
import type { ConnectionLimits } from './connection-hooks.ts';
import { type ResolvedTrust, resolveTrust, type Trust } from './trust.ts';

/** How a call is tried again. */
export type EndpointRetry = Pick<RetryOptions, 'maxAttempts' | 'timeoutMs' | 'backoff' | 'jitter' | 'shouldRetry'>;

/** Options of every endpoint. Sizes are in bytes, durations in milliseconds. */
export interface EndpointOptions<A extends Addr> extends PendingLimits, QuicTransportOptions {
  /** The endpoint's identity: a key; with `certificate` also PKCS#8 in PEM or DER. @default a new key, which is not stored */
  readonly privateKey?: PrivateKey | Uint8Array | string | undefined;
  /**
   * The certificate of `privateKey` with its chain, end entity first, in one value or several. @default a self-signed certificate
   */
  readonly certificate?: CertificateSource | readonly CertificateSource[] | undefined;
  /**
   * Which peers the endpoint trusts. By default every peer that proves a key: `connection.peerId` is the PeerID of that key, and
   * no peer can use the PeerID of another. Use `expect` of `connect` to allow one PeerID only. @default every peer that proves a key
   */
  readonly trust?: Trust | undefined;
  /**
   * Whether a trusted peer may connect, in both directions. It is called once for each connection, before any data of the peer is
   * delivered and before the connection is announced. A promise may take up to 5 s. Any result but `true` refuses the peer, which
   * sees `refused`, and is counted as `endpoint.not_accepted`; a fault of the predicate is also counted as `handler_error`.
   * `recheck()` asks again. @default every trusted peer
   */
  readonly accept?: Accept<A> | undefined;
  /** Whether the endpoint accepts connections. @default true */
  readonly listen?: boolean | undefined;
  /** Names of the application protocol, best first. Both sides must have one in common. @default 'shoal-endpoint/1' */
  readonly alpn?: string | readonly string[] | undefined;
  /** Unidirectional streams that a peer may have open, at least 1: each message takes one. @default 100 */
  readonly maxUniStreams?: number | undefined;
  /** The largest message that is sent and accepted; of three parts, all together. @default 16 MiB */
  readonly maxMessageBytes?: number | undefined;
  /** Unfinished and unread bytes of a connection. Beyond that, all its streams but the oldest wait. @default 32 MiB, 128 MiB for qp2p */
  readonly maxConnectionBytes?: number | undefined;
  /**
   * Memory for all connections together: unfinished and unread bytes, and receive windows beyond 8 KiB for each connection.
   * Connections get larger windows while much of it is free; when it is used up, peers wait. @default 16 MiB, 256 MiB for qp2p, at least `maxMessageBytes`
   */
  readonly maxEndpointBytes?: number | undefined;
  /** Messages to one peer that can wait for a connection or a stream; more are rejected at once. @default 16_384 */
  readonly maxQueuedMessages?: number | undefined;
  /** A message that has begun must progress by 64 KiB or end within this time; otherwise its stream is reset. @default 30_000 */
  readonly streamTimeoutMs?: number | undefined;
  /** How long `connect` may take, unless the call has a `timeoutMs`. @default 10_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Connections at a time. @default 4096 */
  readonly maxConnections?: number | undefined;
  /**
   * Connections of one PeerID that are kept. When there are more, the oldest is closed as soon as nothing is under way on it. At
   * twice as many a new one is closed at once. @default 64
   */
  readonly maxConnectionsPerPeer?: number | undefined;
  /** Whether `connect` uses existing connections. With false each call dials; `send` uses existing ones in any case. @default true */
  readonly pool?: boolean | undefined;
  /** How `connect` and `send` are tried again, unless the call has a `retry`; true for 30 s. @default false */
  readonly retry?: boolean | EndpointRetry | undefined;
  /** When peers that connect must prove their address first. @default 'under_load' */
  readonly addressValidation?: 'never' | 'under_load' | 'always' | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** Called with datagrams of the swarm below that are not QUIC. @default they are counted as `endpoint.not_quic` */
  readonly onOther?: ((message: Message<A>) => void) | undefined;
  /** Called with TLS secrets as lines in NSS key log format. @default no secrets are exported */
  readonly onKeyLog?: ((line: string) => void) | undefined;
}

/**
 * Compatible with qp2p 0.35 and 0.36: messages are `Qp2pMessage`s with three parts, and no peer is authenticated.
 */
export interface Qp2pPreset {
  readonly preset: 'qp2p';
}

/** shoal's own protocol: messages are bytes, and peers are authenticated. */
export interface NoPreset {
  readonly preset?: undefined;
}

/** Options of an endpoint over a swarm. */
export interface EndpointOverOptions<A extends Addr> extends EndpointOptions<A> {
  /** Leaves the swarm below open when the endpoint closes. @default false */
  readonly keepInner?: boolean | undefined;
}

/** Options of an endpoint on a UDP socket of its own. */
export interface OpenEndpointOptions extends EndpointOptions<UdpAddr> {
  /** IP and UDP port to bind to, port 0 for any. @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6 */
  readonly bind?: string | undefined;
  /** Size of the kernel's receive buffer. @default as `openUdpSwarm` */
  readonly recvBufferBytes?: number | undefined;
  /** Size of the kernel's send buffer. @default as `openUdpSwarm` */
  readonly sendBufferBytes?: number | undefined;
  /** Source of time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** Whose sockets: those of a host of a virtual network, say. @default this system's */
  readonly network?: Network | undefined;
  /** Cancels the opening. */
  readonly signal?: AbortSignal | undefined;
  readonly over?: undefined;
}

/** Options of `openEndpoint` with a swarm in place of a UDP socket. */
export interface OpenEndpointOverOptions<A extends Addr> extends EndpointOverOptions<A> {
  /** A swarm that carries datagrams of 1200 bytes or more. */
  readonly over: Swarm<A>;
  /** Cancels the opening. */
  readonly signal?: AbortSignal | undefined;
  readonly bind?: undefined;
}

/** Options with their defaults filled in. */
export interface ResolvedEndpointOptions<A extends Addr> {
  readonly options: EndpointOptions<A>;
  readonly qp2p: boolean;
  readonly trust: ResolvedTrust;
  readonly fingerprint: Fingerprint;
  readonly listen: boolean;
  readonly alpn: readonly string[];
  readonly limits: ConnectionLimits;
  readonly maxEndpointBytes: number;
  readonly maxConnectionsPerPeer: number;
  readonly streamTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly pool: boolean;
  readonly retry: EndpointRetry | undefined;
  readonly transport: QuicTransportOptions;
}

/** The name of the protocol in ALPN; its number is that of docs/wire/endpoint.md. */
const ALPN = 'shoal-endpoint/1';
const MIB = 2 ** 20;
/** The meaning of `retry: true`: as long as qp2p retried. */
const RETRY: EndpointRetry = { timeoutMs: 30_000 };
/** The longest duration that QUIC takes. */
const MAX_MS = 2 ** 32 - 1;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveEndpointOptions<A extends Addr>(
  options: EndpointOptions<A> & (NoPreset | Qp2pPreset),
): ResolvedEndpointOptions<A> {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeOption('options', options)}`);
  }
  const { preset } = options;
  if (preset !== undefined && preset !== 'qp2p') {
    throw new TypeError(`Cannot take preset: expected 'qp2p', got ${describeValue(preset)}`);
  }
  for (const name of ['accept', 'onOther', 'onKeyLog', 'fingerprint'] as const) {
    if (options[name] !== undefined) assertFunction(options[name], name);
  }
  const qp2p = preset === 'qp2p';
  if (qp2p && options.trust !== undefined && options.trust !== 'anyone') {
    throw new TypeError(
      "Cannot take trust: preset: 'qp2p' neither presents nor checks client certificates, so no peer has an identity",
    );
  }
  if (options.accept !== undefined && (qp2p || options.trust === 'anyone')) {
    throw new TypeError("Cannot take accept: with trust 'anyone' no peer has an identity that could be judged");
  }
  const whole = (name: NumberOption, fallback: number, min: number, max: number): number =>
    wholeNumber(options[name], name, fallback, min, max);
  const maxMessageBytes = whole('maxMessageBytes', 16 * MIB, 1, MAX_PART_BYTES);
  // qp2p sends a hundred messages at once, a part of each at a time, and all of them have to be held.
  const heldBytes = qp2p ? 128 * MIB : 32 * MIB;
  const endpointBytes = qp2p ? 256 * MIB : 16 * MIB;
  const alpn = resolveAlpn(options.alpn, qp2p);
  const transport: QuicTransportOptions = {
    ...transportOf(options),
    idleTimeoutMs: whole('idleTimeoutMs', 30_000, 0, MAX_MS),
    keepAliveMs: whole('keepAliveMs', 0, 0, MAX_MS),
    maxUniStreams: whole('maxUniStreams', 100, 1, MIB),
    maxBidiStreams: whole('maxBidiStreams', 100, 0, MIB),
  };
  resolveSettings({ ...transport, alpn, listen: false }); // The engine gets them later; misuse has to throw now.
  const maxConnectionBytes = whole('maxConnectionBytes', Math.max(heldBytes, 2 * maxMessageBytes), 1, 2 ** 40);
  return {
    options,
    qp2p,
    trust: resolveTrust(qp2p ? 'anyone' : options.trust),
    fingerprint: options.fingerprint ?? fingerprints.shake256,
    listen: options.listen ?? true,
    alpn,
    limits: {
      maxMessageBytes,
      maxConnectionBytes,
      maxQueuedMessages: whole('maxQueuedMessages', 16_384, 1, 2 ** 24),
      ...assertPendingLimits(options),
    },
    maxEndpointBytes: whole('maxEndpointBytes', Math.max(endpointBytes, maxMessageBytes), 1, 2 ** 40),
    maxConnectionsPerPeer: whole('maxConnectionsPerPeer', 64, 1, 2 ** 20),
    streamTimeoutMs: whole('streamTimeoutMs', 30_000, 1, MAX_MS),
    connectTimeoutMs: whole('connectTimeoutMs', 10_000, 1, MAX_MS),
    pool: options.pool ?? true,
    retry: resolveRetry(options.retry),
    transport,
  };
}

/** What of the options is for QUIC itself. Options with the same name but another meaning are left out. */
function transportOf<A extends Addr>(options: EndpointOptions<A>): QuicTransportOptions {
  const { privateKey: _privateKey, accept: _accept, ...transport } = options;
  return transport;
}

type NumberOption = {
  [K in keyof EndpointOptions<Addr>]-?: EndpointOptions<Addr>[K] extends number | undefined ? K : never;
}[keyof EndpointOptions<Addr>];

function resolveAlpn(alpn: string | readonly string[] | undefined, qp2p: boolean): readonly string[] {
  if (qp2p && alpn !== undefined) throw new TypeError("Cannot take alpn: preset: 'qp2p' has none");
  if (qp2p) return [];
  const names = typeof alpn === 'string' ? [alpn] : (alpn ?? [ALPN]);
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== 'string')) {
    throw new TypeError(`Cannot take alpn: expected a name or a list of names, got ${describeValue(alpn)}`);
  }
  return names;
}

/** @throws {TypeError} when it is neither a boolean nor an object. */
export function resolveRetry(retry: boolean | EndpointRetry | undefined): EndpointRetry | undefined {
  if (retry === undefined || retry === false) return undefined;
  if (retry === true) return RETRY;
  if (typeof retry !== 'object' || retry === null) {
    throw new TypeError(`Cannot take retry: expected true or an object, got ${describeValue(retry)}`);
  }
  return { ...RETRY, ...retry };
}
