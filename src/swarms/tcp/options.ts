/** The options of a TCP swarm. */

import { assertFunction, describeOption, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import type { Accept } from '../../core/accept.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import { systemRealm } from '../../runtime/system-realm.ts';
import { type Fingerprint, fingerprints, peerIdOfKey } from '../../identity/fingerprints.ts';
import type { PrivateKey } from '../../identity/private-key.ts';
import type { KeyedAddr } from '../../sessions/peer-sessions.ts';
import { assertPendingLimits, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import type { ConnectionLimits } from '../../node/index.ts';
import type { Network } from '../../net/network.ts';
import type { TcpAddr } from './address.ts';

/** What `openTcpSwarm` needs and takes. */
export interface TcpSwarmOptions extends PendingLimits, ConnectionLimits {
  /** The identity of this swarm. Its certificate is created when the swarm opens. */
  readonly privateKey: PrivateKey;
  /**
   * IP and port to listen on, port 0 for any. `0.0.0.0` covers all of IPv4, `[::]` all of IPv6 and IPv4. A single IP is
   * also the local address of dials.
   * @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6
   */
  readonly bind?: string | undefined;
  /**
   * Decides whether a peer, dialled or dialling, is admitted: called once for each connection, after the peer has
   * proven its key and before anything from it is delivered. For a peer that dialled, the port in its address is not
   * the one it listens on. A refused peer gets `refused`; `recheck()` asks again.
   * @default every peer
   */
  readonly accept?: Accept<TcpAddr> | undefined;
  /** The largest tell, request and answer that is sent and accepted. @default 16_777_216 (16 MiB) */
  readonly maxMessageBytes?: number | undefined;
  /** The bytes that may wait to be sent to one peer; further messages are refused. @default 67_108_864 (64 MiB) */
  readonly maxQueueBytes?: number | undefined;
  /**
   * The bytes that all peers together may make the swarm hold: unfinished messages, messages that wait for handlers or
   * are in them, each plus 512 bytes, and answers that are not in the kernel. A network (/24, /64) may use three
   * quarters of it while other networks hold memory; each peer may always use 8 KiB. Connections that would need more
   * are not read meanwhile; a peer that leaves messages unfinished or unread for 5 s is disconnected to make room. At
   * least one message of the maximum size. @default 16_777_216 (16 MiB)
   */
  readonly maxSwarmBytes?: number | undefined;
  /**
   * A connection without messages for this time is closed; the next message dials again. Infinity: never. @default
   * 60_000
   */
  readonly idleTimeoutMs?: number | undefined;
  /** The time limit of TLS; the connection then counts as refused. @default 5000 */
  readonly handshakeTimeoutMs?: number | undefined;
  /** The time limit of connecting with TCP. @default 5000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Allows several swarms, of this or other processes, on one port, if the system supports it. @default false */
  readonly reusePort?: boolean | undefined;
  /**
   * Encryption and authentication: TLS 1.3, or Noise XX, which needs no certificates. Both sides need the same.
   * @default 'tls'
   */
  readonly security?: 'tls' | 'noise' | undefined;
  /**
   * Makes connections look random, with a key of 32 bytes that all peers have: see `maskStreams` of `shoal/net`. Both sides
   * need the same.
   * @default not masked
   */
  readonly mask?: { readonly key: Uint8Array } | undefined;
  /** The network whose sockets are used, for example that of a virtual host. @default this system's */
  readonly network?: Network | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** The source of time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** Aborts opening. */
  readonly signal?: AbortSignal | undefined;
}

/** Options with defaults filled in, of every swarm over connections of TCP. */
export interface ResolvedOptions<A extends KeyedAddr> {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  readonly peerIdOf: (key: PublicKey) => PeerId;
  readonly accept: Accept<A> | undefined;
  readonly maxMessageBytes: number;
  readonly maxQueueBytes: number;
  readonly maxSwarmBytes: number;
  readonly idleTimeoutMs: number;
  readonly realm: Realm;
  readonly pending: { readonly maxPendingMessages: number; readonly maxPendingBytes: number };
}

/** Those of this swarm. */
export interface ResolvedTcpOptions extends ResolvedOptions<TcpAddr> {
  readonly security: 'tls' | 'noise';
}

/** Files of a few megabytes fit into one message. */
const MAX_MESSAGE_BYTES = 16_777_216;
/** The wire format allows more; a process can hold a few messages of this size. */
const MAX_MESSAGE_BYTES_LIMIT = 1_073_741_824;
const MAX_QUEUE_BYTES = 67_108_864;
/** One message of the default maximum size: a process with a thousand TLS connections stays below 256 MiB. */
const MAX_SWARM_BYTES = 16_777_216;
const IDLE_TIMEOUT_MS = 60_000;

/** What all swarms over connections of TCP take. */
export type StreamSwarmOptions<A extends KeyedAddr> = Pick<
  TcpSwarmOptions,
  | 'privateKey'
  | 'maxMessageBytes'
  | 'maxQueueBytes'
  | 'maxSwarmBytes'
  | 'idleTimeoutMs'
  | 'fingerprint'
  | 'realm'
  | keyof PendingLimits
> & { readonly accept?: Accept<A> | undefined };

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveOptions(options: TcpSwarmOptions): ResolvedTcpOptions {
  const resolved = resolveStreamOptions(options, {
    maxMessageBytes: MAX_MESSAGE_BYTES,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
  });
  const { security = 'tls' } = options;
  if (security !== 'tls' && security !== 'noise') {
    throw new TypeError(`Cannot take security: expected 'tls' or 'noise', got ${describeValue(security)}`);
  }
  return { ...resolved, security };
}

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveStreamOptions<A extends KeyedAddr>(
  options: StreamSwarmOptions<A>,
  defaults: { readonly maxMessageBytes: number; readonly idleTimeoutMs: number },
): ResolvedOptions<A> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { privateKey, accept, fingerprint = fingerprints.shake256, realm = systemRealm } = options;
  if (typeof privateKey !== 'object' || privateKey === null || !('publicKey' in privateKey)) {
    throw new TypeError(
      `Cannot take privateKey: expected a key (see generateKey), got ${describeOption('privateKey', privateKey)}`,
    );
  }
  if (accept !== undefined) assertFunction(accept, 'accept');
  assertFunction(fingerprint, 'fingerprint');
  const { publicKey } = privateKey;
  const { maxMessageBytes, maxQueueBytes, maxSwarmBytes, idleTimeoutMs } = options;
  return {
    id: peerIdOfKey(publicKey, fingerprint),
    publicKey,
    peerIdOf: (key) => peerIdOfKey(key, fingerprint),
    accept,
    maxMessageBytes: wholeNumber(
      maxMessageBytes,
      'maxMessageBytes',
      defaults.maxMessageBytes,
      1,
      MAX_MESSAGE_BYTES_LIMIT,
    ),
    maxQueueBytes: wholeNumber(maxQueueBytes, 'maxQueueBytes', MAX_QUEUE_BYTES, 1, Number.MAX_SAFE_INTEGER),
    maxSwarmBytes: wholeNumber(maxSwarmBytes, 'maxSwarmBytes', MAX_SWARM_BYTES, 1, 2 ** 40),
    idleTimeoutMs: quantity(idleTimeoutMs, 'idleTimeoutMs', defaults.idleTimeoutMs, 1, Infinity),
    realm,
    pending: assertPendingLimits(options),
  };
}
