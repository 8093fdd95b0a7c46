/** The options of a node. */

import { assertFunction, assertString, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { AcceptPeer } from '../core/accept.ts';
import type { IpAddr } from '../core/addr.ts';
import { type Fingerprint, fingerprints } from '../identity/fingerprints.ts';
import type { Codec } from './codec.ts';
import type { TcpConnection } from './connection.ts';
import { type Handshake, HandshakeHook } from './handshake.ts';
import type { Realm } from '../core/realm.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { DEFAULT_BINDS } from '../net/default-bind.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import type { ConnectionLimits } from './limits.ts';
import { NodeMemory } from './memory.ts';
import { type Network, type StreamOptions, assertNetwork } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';

/** The options of a node. Creating it opens nothing: `listen` and `connect` do. */
export interface NodeOptions<out In = unknown, in Out = never> extends ConnectionLimits {
  /**
   * Encrypts connections and authenticates peers: `tls(…)`, `noise(…)`, or a `handshake(…)` of your own. Both sides
   * need the same. `'none'`: nothing is encrypted, and anyone who reaches the port can be a peer.
   */
  readonly security: Handshake | 'none';
  /**
   * Encodes and decodes messages; `reading` and `writing` need it.
   * @default the node transfers no messages
   */
  readonly codec?: Codec<In, Out> | undefined;
  /**
   * Decides whether a peer that has proven its key is admitted; called before anything from it is delivered. Only
   * `true` admits it; any other value, a throw, and a promise that fails or takes more than 5 s refuse it, which is
   * counted (`not_accepted`). `recheck()` asks again. Needs a `security` that proves keys.
   * @default every peer; `connection.publicKey` identifies it
   */
  readonly accept?: NodeAccept | undefined;
  /** How keys become the PeerIDs that `accept` gets. @default fingerprints.shake256, as everywhere in shoal */
  readonly fingerprint?: Fingerprint | undefined;
  /** For logs. @default a number that is counted up in this process */
  readonly name?: string | undefined;
  /**
   * The address that `listen` binds to, port 0 for any. `[::]` accepts IPv6 and IPv4.
   * @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6
   */
  readonly bind?: string | undefined;
  /**
   * Connections that the system holds until they are accepted; it may allow fewer. @default 511, the default of Node
   */
  readonly backlog?: number | undefined;
  /**
   * Several listeners, of this or other processes, on one port. On a system without support `listen` rejects with
   * `unsupported`.
   * @default false
   */
  readonly reusePort?: boolean | undefined;
  /** The time limit of connecting, without the handshake. @default 5000: three tries of TCP */
  readonly connectTimeoutMs?: number | undefined;
  /** Whether small messages are sent at once (TCP_NODELAY). @default true */
  readonly noDelay?: boolean | undefined;
  /**
   * How long a connection may be silent before TCP checks whether the peer is reachable; Infinity: never. @default 60
   * 000
   */
  readonly keepAliveMs?: number | undefined;
  /** The maximum number of bans; the one that ends first is removed when it is reached. @default 10 000 */
  readonly maxBans?: number | undefined;
  /**
   * The bytes that all peers together may make the node hold: unfinished messages, and messages that wait for handlers
   * or are in them. The same limit applies separately to what waits to be sent to all peers. A network (/24, /64) may
   * use three quarters of it while other networks hold memory; each peer may always use 8 KiB (64 KiB to be sent).
   * Connections that would need more are not read meanwhile, and `send` throws `limit_exceeded`; a peer that leaves its
   * message unfinished for 5 s is disconnected to make room (`over_budget`). Not less than one message of the maximum
   * size. @default 33_554_432 (32 MiB)
   */
  readonly maxNodeBytes?: number | undefined;
  /** The source of time. @default the system's */
  readonly realm?: Realm | undefined;
  /** The network whose sockets are used, for example that of a virtual host. @default this system's */
  readonly network?: Network | undefined;
}

/** A peer passed to `accept`; its address is that of the connection. */
export interface NodeAcceptPeer extends AcceptPeer<IpAddr> {
  readonly connection: TcpConnection;
}

/** The {@link Accept} of a node. */
export type NodeAccept = (peer: NodeAcceptPeer) => boolean | Promise<boolean>;

/** The options with defaults filled in. */
export interface ResolvedNodeOptions<In, Out> {
  readonly name: string;
  /** Undefined: there is no handshake, and bytes are sent unencrypted. */
  readonly handshake: HandshakeHook | undefined;
  readonly codec: Codec<In, Out> | undefined;
  readonly accept: NodeAccept | undefined;
  readonly fingerprint: Fingerprint;
  /** The addresses to listen on: the first that this machine has is used. */
  readonly binds: readonly SocketAddress[];
  readonly backlog: number;
  readonly reusePort: boolean;
  readonly connectTimeoutMs: number;
  readonly maxBans: number;
  readonly limits: ConnectionLimits;
  readonly memory: NodeMemory;
  readonly realm: Realm;
  readonly network: Network;
  /** The socket options of all connections. */
  readonly streams: StreamOptions;
}

const DEFAULTS = {
  backlog: 511,
  connectTimeoutMs: 5000,
  keepAliveMs: 60_000,
  maxBans: 10_000,
  maxNodeBytes: 33_554_432,
} as const;

/** The next default name. Shared by the process, because names are for its log; nothing else depends on it. */
let unnamed = 0;

/** @throws {TypeError | RangeError} for invalid options. */
export function resolveNodeOptions<In, Out>(options: NodeOptions<In, Out>): ResolvedNodeOptions<In, Out> {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const { realm = systemRealm, network = systemNetwork, security, codec, accept } = options;
  const { fingerprint = fingerprints.shake256 } = options;
  assertNetwork(network);
  if (security !== 'none' && !(security instanceof HandshakeHook)) {
    const expected = `expected tls(…), noise(…), handshake(…) or, for connections without encryption, 'none'`;
    throw new TypeError(`Cannot take security: ${expected}, got ${describeValue(security)}`);
  }
  if (codec !== undefined) {
    const { decoder, encoder } = Object(codec) as Record<string, unknown>;
    assertFunction(decoder, 'codec.decoder');
    assertFunction(encoder, 'codec.encoder');
  }
  if (accept !== undefined) {
    assertFunction(accept, 'accept');
    if (security === 'none') throw new TypeError("Cannot take accept: with security 'none' no peer proves a key");
  }
  assertFunction(fingerprint, 'fingerprint');
  if (options.name !== undefined) assertString(options.name, 'name');
  const keepAliveMs = quantity(options.keepAliveMs, 'keepAliveMs', DEFAULTS.keepAliveMs, 1, Infinity);
  return {
    handshake: security === 'none' ? undefined : security,
    codec,
    accept,
    fingerprint,
    binds: options.bind === undefined ? DEFAULT_BINDS : [parseIpSocketAddress(options.bind, 'bind')],
    backlog: wholeNumber(options.backlog, 'backlog', DEFAULTS.backlog, 1, 0x7fff_ffff),
    reusePort: options.reusePort ?? false,
    connectTimeoutMs: quantity(options.connectTimeoutMs, 'connectTimeoutMs', DEFAULTS.connectTimeoutMs, 1, Infinity),
    maxBans: wholeNumber(options.maxBans, 'maxBans', DEFAULTS.maxBans, 1, Number.MAX_SAFE_INTEGER),
    limits: options,
    memory: new NodeMemory(wholeNumber(options.maxNodeBytes, 'maxNodeBytes', DEFAULTS.maxNodeBytes, 1, 2 ** 50), realm),
    realm,
    network,
    streams: { noDelay: options.noDelay ?? true, keepAliveMs: keepAliveMs === Infinity ? undefined : keepAliveMs },
    name: options.name ?? String(unnamed++),
  };
}
