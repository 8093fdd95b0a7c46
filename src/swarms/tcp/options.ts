/** How a TCP swarm is opened. */

import { assertFunction, describeOption, describeValue, quantity, wholeNumber } from '../../base/checks.ts';
import { type Accept } from '../../core/accept.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type Realm } from '../../core/realm.ts';
import { type PublicKey } from '../../core/secure.ts';
import { systemRealm } from '../../runtime/system-realm.ts';
import { type Fingerprint, fingerprints, peerIdOfKey } from '../../identity/fingerprints.ts';
import { type PrivateKey } from '../../identity/private-key.ts';
import { assertPendingLimits, type PendingLimits } from '../../swarm-kit/pending-budget.ts';
import { type ConnectionLimits } from '../../node/index.ts';
import { type Network } from '../../net/network.ts';
import { type TcpAddr } from './address.ts';

/** What `openTcpSwarm` needs and takes. */
export interface TcpSwarmOptions extends PendingLimits, ConnectionLimits {
  /** Who we are. Its certificate is made on the spot. */
  readonly privateKey: PrivateKey;
  /**
   * IP and port to listen on, port 0 for any. `0.0.0.0` is all of IPv4, `[::]` all of IPv6 and IPv4. A single IP is also
   * the one that we dial from.
   * @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6
   */
  readonly bind?: string | undefined;
  /**
   * Whether a peer may talk, dialled or dialling: asked once for each connection, after the peer has proven its key and before
   * anything of it is delivered. The port in the address of one that dials is not the one it listens on. A no arrives at the
   * peer as `refused`; `recheck()` asks again.
   * @default every peer
   */
  readonly accept?: Accept<TcpAddr> | undefined;
  /** The largest tell, request and answer that is sent and taken. @default 16_777_216 (16 MiB) */
  readonly maxMessageBytes?: number | undefined;
  /** What may wait to be sent to one peer, in bytes; what comes on top is refused. @default 67_108_864 (64 MiB) */
  readonly maxQueueBytes?: number | undefined;
  /**
   * What all peers together may make the swarm hold, in bytes: unfinished messages, messages that wait for handlers or are in
   * them, each with 512 bytes more, and answers that are not in the kernel; a network (/24, /64) three quarters of it beside others, and each peer 8 KiB in
   * any case. Connections that would take more are not read meanwhile; what peers leave unfinished or unread for 5 s makes
   * room. At least one of the largest messages. @default 16_777_216 (16 MiB)
   */
  readonly maxSwarmBytes?: number | undefined;
  /** A connection on which nothing is said for so long is closed; the next message dials anew. Infinity: never. @default 60_000 */
  readonly idleTimeoutMs?: number | undefined;
  /** How long TLS may take; then the connection counts as refused. @default 5000 */
  readonly handshakeTimeoutMs?: number | undefined;
  /** How long TCP may take to connect. @default 5000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Several swarms, of this or other processes, on one port, where the system can. @default false */
  readonly reusePort?: boolean | undefined;
  /**
   * What encrypts and authenticates: TLS 1.3, or Noise XX, for programs without certificates.
   * Both sides need the same.
   * @default 'tls'
   */
  readonly security?: 'tls' | 'noise' | undefined;
  /** Whose sockets: those of a host of a virtual network, say. @default this system's */
  readonly network?: Network | undefined;
  /** How keys become PeerIDs. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** Whose time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** Gives up opening. */
  readonly signal?: AbortSignal | undefined;
}

/** Options with nothing left open. */
export interface ResolvedOptions {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  readonly peerIdOf: (key: PublicKey) => PeerId;
  readonly accept: TcpSwarmOptions['accept'];
  readonly maxMessageBytes: number;
  readonly maxQueueBytes: number;
  readonly maxSwarmBytes: number;
  readonly idleTimeoutMs: number;
  readonly security: 'tls' | 'noise';
  readonly realm: Realm;
  readonly pending: { readonly maxPendingMessages: number; readonly maxPendingBytes: number };
}

/** Files of a few megabytes go as one. */
const MAX_MESSAGE_BYTES = 16_777_216;
/** What the wire can say of sizes is more; this is what a process can hold a few of. */
const MAX_MESSAGE_BYTES_LIMIT = 1_073_741_824;
const MAX_QUEUE_BYTES = 67_108_864;
/** One of the largest messages by default: with a thousand connections by TLS a process stays below 256 MiB. */
const MAX_SWARM_BYTES = 16_777_216;
const IDLE_TIMEOUT_MS = 60_000;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveOptions(options: TcpSwarmOptions): ResolvedOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { privateKey, accept, fingerprint = fingerprints.shake256, realm = systemRealm } = options;
  if (typeof privateKey !== 'object' || privateKey === null || !('publicKey' in privateKey)) {
    throw new TypeError(
      `Cannot take privateKey: expected a key (see generateKey), got ${describeOption('privateKey', privateKey)}`,
    );
  }
  if (accept !== undefined) assertFunction(accept, 'accept');
  const { security = 'tls' } = options;
  if (security !== 'tls' && security !== 'noise') {
    throw new TypeError(`Cannot take security: expected 'tls' or 'noise', got ${describeValue(security)}`);
  }
  assertFunction(fingerprint, 'fingerprint');
  const { publicKey } = privateKey;
  const { maxMessageBytes, maxQueueBytes, maxSwarmBytes, idleTimeoutMs } = options;
  return {
    id: peerIdOfKey(publicKey, fingerprint),
    publicKey,
    peerIdOf: (key) => peerIdOfKey(key, fingerprint),
    accept,
    maxMessageBytes: wholeNumber(maxMessageBytes, 'maxMessageBytes', MAX_MESSAGE_BYTES, 1, MAX_MESSAGE_BYTES_LIMIT),
    maxQueueBytes: wholeNumber(maxQueueBytes, 'maxQueueBytes', MAX_QUEUE_BYTES, 1, Number.MAX_SAFE_INTEGER),
    maxSwarmBytes: wholeNumber(maxSwarmBytes, 'maxSwarmBytes', MAX_SWARM_BYTES, 1, 2 ** 40),
    idleTimeoutMs: quantity(idleTimeoutMs, 'idleTimeoutMs', IDLE_TIMEOUT_MS, 1, Infinity),
    security,
    realm,
    pending: assertPendingLimits(options),
  };
}
