/** How an endpoint is made. */

import { type Accept } from '../core/accept.ts';
import { type Addr } from '../core/addr.ts';
import { assertFunction, describeOption, describeValue, wholeNumber } from '../base/checks.ts';
import { type Message } from '../core/message.ts';
import { type Realm } from '../core/realm.ts';
import { type Swarm } from '../core/swarm.ts';
import { type RetryOptions } from '../runtime/retry.ts';
import { type Fingerprint, fingerprints } from '../identity/fingerprints.ts';
import { type PrivateKey } from '../identity/private-key.ts';
import { assertPendingLimits, type PendingLimits } from '../swarm-kit/pending-budget.ts';
import { MAX_PART_BYTES } from '../protocols/endpoint/frame.ts';
import { type QuicTransportOptions, resolveSettings } from '../protocols/quic/settings.ts';
import { type Network } from '../net/network.ts';
import { type UdpAddr } from '../net/socket-address.ts';
import { type CertificateSource } from './identity.ts';
import { type ConnectionLimits } from './connection-hooks.ts';
import { type ResolvedTrust, resolveTrust, type Trust } from './trust.ts';

/** How often and how patiently something is tried again. */
export type EndpointRetry = Pick<RetryOptions, 'maxAttempts' | 'timeoutMs' | 'backoff' | 'jitter' | 'shouldRetry'>;

/** What every endpoint takes; sizes in bytes, durations in milliseconds. */
export interface EndpointOptions<A extends Addr> extends PendingLimits, QuicTransportOptions {
  /** Who we are: a key, or with `certificate` also PKCS#8 in PEM or DER. @default a key that is generated and forgotten */
  readonly privateKey?: PrivateKey | Uint8Array | string | undefined;
  /**
   * A chain for `privateKey`, of an authority that the peers trust for example: end entity first, in one piece or several.
   * @default a certificate that the endpoint makes and signs itself
   */
  readonly certificate?: CertificateSource | readonly CertificateSource[] | undefined;
  /**
   * Whom to talk to. Without it: anyone who proves a key, and `connection.peerId` says whose; nobody can take another's
   * PeerID. Give `expect` with `connect` to insist on one. @default anyone who proves a key
   */
  readonly trust?: Trust | undefined;
  /**
   * Whether a trusted peer may talk, dialled or dialling: asked once for each connection, before anything of the peer is delivered and
   * before it is announced. A promise is waited for, up to 5 s. Anything but `true` is a no, counted as `endpoint.not_accepted`, and
   * a fault of the predicate as `handler_error` too; it arrives as `refused`. `recheck()` asks again. @default every trusted peer
   */
  readonly accept?: Accept<A> | undefined;
  /** Whether to take connections. @default true */
  readonly listen?: boolean | undefined;
  /** Names of the application protocol, best first. Both sides must have one in common. @default 'shoal-endpoint/1' */
  readonly alpn?: string | readonly string[] | undefined;
  /** Unidirectional streams that a peer may have open, from 1 on: each message takes one. @default 100 */
  readonly maxUniStreams?: number | undefined;
  /** The largest message, of three parts all together, that is sent and taken. @default 16 MiB */
  readonly maxMessageBytes?: number | undefined;
  /** Unfinished and unread bytes of a connection; then all but its oldest stream wait. @default 32 MiB, 128 MiB for qp2p */
  readonly maxConnectionBytes?: number | undefined;
  /**
   * What all connections together may make the endpoint hold: the same of all, and receive windows beyond 8 KiB for each.
   * Connections get larger windows while there is plenty. @default 16 MiB, 256 MiB for qp2p, at least `maxMessageBytes`
   */
  readonly maxEndpointBytes?: number | undefined;
  /** Messages that wait for a connection to be made or for a stream, for each peer; more fail at once. @default 16_384 */
  readonly maxQueuedMessages?: number | undefined;
  /** A message that has begun moves by 64 KiB or ends within this time, or its stream is reset. @default 30_000 */
  readonly streamTimeoutMs?: number | undefined;
  /** How long connecting may take unless the call says otherwise. @default 10_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Connections at a time. @default 4096 */
  readonly maxConnections?: number | undefined;
  /**
   * Connections of one PeerID that are kept. Of more, the oldest is closed as soon as nothing is under way on it; twice as many are
   * the limit, where the newest is closed. @default 64
   */
  readonly maxConnectionsPerPeer?: number | undefined;
  /** Whether `connect` uses the connections that are there; without, each call dials anew. `send` always does. @default true */
  readonly pool?: boolean | undefined;
  /** How `connect` and `send` are tried again unless the call says otherwise; true for 30 s. @default false */
  readonly retry?: boolean | EndpointRetry | undefined;
  /** When those who connect must prove their address first. @default 'under_load' */
  readonly addressValidation?: 'never' | 'under_load' | 'always' | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** Gets what comes on the swarm below and is not QUIC. @default counted as `endpoint.not_quic` */
  readonly onOther?: ((message: Message<A>) => void) | undefined;
  /** Gets TLS secrets as lines in NSS key log format. @default none are made */
  readonly onKeyLog?: ((line: string) => void) | undefined;
}

/**
 * Speaks as qp2p 0.35 and 0.36 do: messages have three parts, and nobody is authenticated. The endpoint's messages are
 * `Qp2pMessage`s then.
 */
export interface Qp2pPreset {
  readonly preset: 'qp2p';
}

/** Speaks shoal's own protocol: messages are bytes, and peers are authenticated. */
export interface NoPreset {
  readonly preset?: undefined;
}

/** How an endpoint over a swarm is made. */
export interface EndpointOverOptions<A extends Addr> extends EndpointOptions<A> {
  /** Leaves the swarm below open when the endpoint closes. @default false */
  readonly keepInner?: boolean | undefined;
}

/** How an endpoint on a UDP socket is opened. */
export interface OpenEndpointOptions extends EndpointOptions<UdpAddr> {
  /** IP and UDP port to bind to, port 0 for any. @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6 */
  readonly bind?: string | undefined;
  /** Kernel buffer asked for. @default as `openUdpSwarm` */
  readonly recvBufferBytes?: number | undefined;
  /** Kernel buffer asked for. @default as `openUdpSwarm` */
  readonly sendBufferBytes?: number | undefined;
  /** Whose time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** Whose sockets: those of a host of a virtual network, say. @default this system's */
  readonly network?: Network | undefined;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
  readonly over?: undefined;
}

/** How an endpoint on another swarm is opened. */
export interface OpenEndpointOverOptions<A extends Addr> extends EndpointOverOptions<A> {
  /** A datagram swarm to use in place of a UDP socket: 1200 bytes and more. */
  readonly over: Swarm<A>;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
  readonly bind?: undefined;
}

/** Options with nothing left open, as far as the endpoint itself needs them. */
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

/** What both sides call the protocol; its number is that of docs/wire/endpoint.md. */
const ALPN = 'shoal-endpoint/1';
const MIB = 2 ** 20;
/** What `retry: true` means: as long as qp2p tried. */
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
      "Cannot take trust: preset: 'qp2p' shows no client certificates and checks none, so nobody is known",
    );
  }
  if (options.accept !== undefined && (qp2p || options.trust === 'anyone')) {
    throw new TypeError("Cannot take accept: with trust 'anyone' nobody is known, so there is nobody to ask about");
  }
  const whole = (name: NumberOption, fallback: number, min: number, max: number): number =>
    wholeNumber(options[name], name, fallback, min, max);
  const maxMessageBytes = whole('maxMessageBytes', 16 * MIB, 1, MAX_PART_BYTES);
  // qp2p sends a hundred messages at once, each a bit at a time, and they must all be held.
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
  resolveSettings({ ...transport, alpn, listen: false }); // The engine takes them much later: complain now.
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

/** What a call or an endpoint says about trying again. */
export function resolveRetry(retry: boolean | EndpointRetry | undefined): EndpointRetry | undefined {
  if (retry === undefined || retry === false) return undefined;
  if (retry === true) return RETRY;
  if (typeof retry !== 'object' || retry === null) {
    throw new TypeError(`Cannot take retry: expected true or an object, got ${describeValue(retry)}`);
  }
  return { ...RETRY, ...retry };
}
