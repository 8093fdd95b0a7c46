/** The options of `openPeers`. */

import type { Accept } from '../core/accept.ts';
import { type Bytes, concatBytes, encodeText } from '../base/bytes.ts';
import { formatSocketAddress, parseSocketAddress } from '../base/ip.ts';
import {
  assertFunction,
  assertString,
  assertSwitch,
  describeOption,
  describeValue,
  quantity,
  wholeNumber,
} from '../base/checks.ts';
import type { CandidateSource } from '../core/candidate.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import { hash } from '#crypto';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import { assertPrivateKey, type PrivateKey } from '../identity/private-key.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';
import { assertMaskKey } from '../protocols/mask/key.ts';
import type { PortMapper } from '../nat/port-mapping.ts';
import { resolveTurn, type TurnSwarmOptions } from '../nat/turn.ts';
import { assertRelayOptions, type RelayServiceOptions } from '../nat/relay-service.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import type { PeerKind } from '../protocols/peers/hello.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import type { SessionOptions } from '../protocols/peers/session-options.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { assertPendingLimits, type PendingLimits } from '../swarm-kit/pending-budget.ts';
import type { PeerCacheStore } from '../discovery/cache-store.ts';
import { parseContact, type ResolveName } from '../discovery/contacts.ts';
import type { PeerExchangeOptions } from '../discovery/exchange-options.ts';
import type { DhtOptions } from '../overlay/kademlia/options.ts';
import type { LanOptions } from '../discovery/lan-options.ts';
import type { PeerAddr } from './address.ts';
import {
  type AttackEvent,
  type AttackSignalsOptions,
  type BanDecision,
  banPolicy,
  type BanPolicyOptions,
} from './attack-signals.ts';
import { type ListsData, PeerLists } from './lists.ts';
import { throughProxy } from '../net/through-proxy.ts';
import { Observers } from './observers.ts';
import { type PeersTrackerOptions, trackersOf } from './trackers.ts';
import type { TransportOptions } from './transport.ts';

/** What `openPeers` needs and takes. */
export interface PeersOptions extends PendingLimits {
  /** The identity of this node. */
  readonly privateKey: PrivateKey;
  /** Only nodes with the same name connect: 1 to 255 bytes of UTF-8. It is hashed, not sent. @default 'shoal' */
  readonly networkName?: string | undefined;
  /**
   * Where to listen, with TCP and, on the same port, with QUIC over UDP: one or several of `ip:port`. Port 0: a random port above
   * 1024, chosen at each start, since a fixed one is easy to find, to block, and taken when a second node runs on the host.
   * @default '[::]:0', or '0.0.0.0:0' on a machine without IPv6
   */
  readonly bind?: string | readonly string[] | undefined;
  /** A port to try first; when it is taken, a random one. @default none */
  readonly preferredPort?: number | undefined;
  /**
   * The transports, best first; each gets a head start of 250 ms over the next. `tcp` and `quic` are made here; any authenticated
   * swarm of the program joins as `{ name, swarm }`. @default ['tcp', 'quic']
   */
  readonly transports?: readonly ('tcp' | 'quic' | TransportOptions)[] | undefined;
  /** How TCP connections are secured: TLS 1.3, or Noise XX. Both sides need the same. @default 'tls' */
  readonly security?: 'tls' | 'noise' | undefined;
  /**
   * Makes what `tcp` and `quic` send look random, with a key of 32 bytes that all peers of the network have: see `shoal/mask`. It adds
   * no security. A node without the key, or with another one, is not reached.
   * @default not masked
   */
  readonly mask?: { readonly key: Uint8Array } | undefined;
  /**
   * Addresses to tell others before the own ones, such as a forwarded port of a router: `ip:port` for `tcp` and `quic`, or
   * `tcp://PeerID@ip:port` for one of them. @default none
   */
  readonly externalAddrs?: readonly string[] | undefined;
  /**
   * A cache of peers that could be dialled, for the next start: a file, or a place of the program for the bytes.
   * @default none
   */
  readonly cache?: string | { readonly store: PeerCacheStore } | undefined;
  /** Finds peers on the own link, by broadcast and multicast. @default false */
  readonly lan?:
    | boolean
    | Pick<LanOptions, 'port' | 'broadcast' | 'interfaces' | 'ipv6' | 'mdns' | 'answer'>
    | undefined;
  /**
   * Peers to begin with when nothing better is known: `PeerID@ip:port`, `PeerID@name:port`, with the name of a transport before it
   * where only one is meant. They are asked in random order. @default none
   */
  readonly contacts?: readonly string[] | undefined;
  /** How long the start waits for cache and LAN before it asks the contacts; 0 asks all at once. @default 2000 */
  readonly fallbackAfterMs?: number | undefined;
  /** Resolves the names of contacts. @default the system's resolver */
  readonly resolve?: ResolveName | undefined;
  /** How many peers the start looks for, at most 256; 0: none, peers are reached when they are wanted. @default 3 */
  readonly minPeers?: number | undefined;
  /** PeerIDs, IPs, prefixes and addresses that the start leaves out. @default none */
  readonly blacklist?: readonly string[] | undefined;
  /**
   * Tells peers of others that this node has reached, and asks those that it connects to; with `everyMs` it also asks known peers
   * again and again, so that every node learns of all. `false`: neither. @default true
   */
  readonly exchange?: boolean | Pick<PeerExchangeOptions, 'everyMs' | 'fanOut' | 'maxPeers' | 'lifetimeMs'> | undefined;
  /**
   * Trackers where this node announces its addresses and looks for others: the token of the network, a URL with its secret, or several. See `shoal/tracker`.
   * @default none
   */
  readonly tracker?: string | readonly string[] | PeersTrackerOptions | undefined;
  /**
   * Joins the DHT of the peers with the same `networkName`, which finds addresses of peers that no connected one knows, and announces the
   * own ones: `peers.dht`. Bounds and `announce: false` as an object. @default false
   */
  readonly dht?: boolean | PeersDhtOptions | undefined;
  /** Other sources of addresses: peer exchange, one of the program. @default none */
  readonly sources?: readonly CandidateSource[] | undefined;
  /**
   * Which paths may be used: `direct` no relays, `no_third_party` neither relays nor hole punching, `own_relays` relays of `relays` only,
   * `relayed` relays only: here it needs a list of `relays`, since no other peer is dialled. `setPolicy` decides for one peer. @default 'any'
   */
  readonly policy?: ReachPolicy | undefined;
  /**
   * Relays at which this node can be reached while it is behind a NAT: a list of own ones, `PeerID@host:port`; `true`: up to two of the
   * connected peers that relay; `false`: none. @default true
   */
  readonly relays?: boolean | readonly string[] | undefined;
  /**
   * TURN servers (RFC 8656) at which this node has a relayed address: another kind of relay, for peers that use the same servers.
   * @default none
   */
  readonly turn?: readonly TurnServer[] | undefined;
  /**
   * An HTTP proxy through which TCP connections go (CONNECT), `http://[user:password@]host:port`; the own networks are dialled directly. A
   * relay on port 443 is reached through it where nothing else leaves. @default none
   */
  readonly proxy?: string | undefined;
  /** Whether this node relays for others, and within which budgets. @default false */
  readonly serveRelay?: boolean | PeersRelayOptions | undefined;
  /** Whether this node brings peers of its together that want to punch: it passes on one small message and its answer. @default whether it relays */
  readonly coordinate?: boolean | undefined;
  /** Whether NATs are opened from both sides where a peer cannot be dialled. @default true */
  readonly punch?: boolean | undefined;
  /** STUN servers that are asked for own addresses, `ip:port`, before the peers are. @default none */
  readonly observers?: readonly string[] | undefined;
  /**
   * Whether routers are asked to forward the ports of this node (PCP, NAT-PMP, UPnP), or what maps them. @default false: it changes the
   * router, so the program decides
   */
  readonly portMapping?: boolean | PortMapper | undefined;
  /** Whether others can dial this node; a `client` is not handed on. @default 'node' */
  readonly kind?: PeerKind | undefined;
  /**
   * Whether a peer that says that it is a node is dialled back, at up to three addresses with the IP from which it came. Without that
   * peers that dialled this node count as clients. @default true
   */
  readonly dialBack?: boolean | undefined;
  /**
   * Moves to another random port in this interval; nothing is lost. For own transports that are bound to port 0. @default never
   */
  readonly movePortEveryMs?: number | undefined;
  /**
   * Decides whether a peer may talk, dialled or dialling, once for each session, after its key is proven. @default every peer
   */
  readonly accept?: Accept<PeerAddr> | undefined;
  /** Who may connect: allow list, deny list, bans. They can be changed later: `peers.lists`. @default everybody */
  readonly lists?: ListsData | undefined;
  /** Bans sources that attack, by the rule of `banPolicy`. @default false: `changes()` reports them, and the program decides */
  readonly banPolicy?: boolean | BanPolicyOptions | undefined;
  /** From how many observations in which time a source is reported as an attacker. */
  readonly attackThresholds?: AttackSignalsOptions['thresholds'];
  /** Whether peers that look for anybody to begin with are admitted. @default true */
  readonly acceptBootstrap?: boolean | undefined;
  /** The largest tell, request and answer. @default 16_777_216 (16 MiB) */
  readonly maxMessageBytes?: number | undefined;
  /** Bytes that may wait to be sent to one peer; further messages are refused. @default 67_108_864 (64 MiB) */
  readonly maxQueueBytes?: number | undefined;
  /** Bytes that all peers together may make this node hold. @default 67_108_864 (64 MiB) */
  readonly maxHeldBytes?: number | undefined;
  /** Peers at a time. @default 4096 */
  readonly maxPeers?: number | undefined;
  /** How long a session waits for another path when it has none. @default 30_000 */
  readonly resumeMs?: number | undefined;
  /** A session without messages ends after this time, unless it is maintained. Infinity: never. @default 60_000 */
  readonly idleTimeoutMs?: number | undefined;
  /** The source of time and randomness. @default the system's */
  readonly realm?: Realm | undefined;
  /** The network whose sockets are used. @default this system's */
  readonly network?: Network | undefined;
  /**
   * Gets the TLS secrets of QUIC connections as lines in NSS key log format, so that Wireshark can decrypt them. Whoever has the lines
   * reads the messages. @default none are made
   */
  readonly onKeyLog?: ((line: string) => void) | undefined;
  /** Aborts opening. */
  readonly signal?: AbortSignal | undefined;
}

/** How a node takes part in the DHT. */
export type PeersDhtOptions = Omit<
  DhtOptions<PeerAddr>,
  'networkName' | 'privateKey' | 'bootstrap' | 'kind' | 'addrs' | 'probe' | 'keepInner'
> & {
  /** Whether the own addresses are announced. @default whether the node is no client */
  readonly announce?: boolean | undefined;
};

/** How a node relays for others. */
export type PeersRelayOptions = Omit<RelayServiceOptions<PeerAddr>, 'socketAddressOf'>;

/** A TURN server, and how this node authenticates there. */
export type TurnServer = Omit<
  TurnSwarmOptions,
  'network' | 'realm' | 'signal' | 'maxPendingMessages' | 'maxPendingBytes'
>;

/** A relay of the options. */
export interface OwnRelay {
  readonly id: PeerId;
  /** `PeerID@host:port`. */
  readonly contact: string;
}

/** Options with nothing left open. */
export interface ResolvedOptions {
  readonly id: PeerId;
  readonly publicKey: PublicKey;
  readonly privateKey: PrivateKey;
  readonly networkName: string;
  readonly networkTag: Bytes;
  readonly lists: PeerLists;
  readonly attackThresholds: AttackSignalsOptions['thresholds'];
  readonly ban: ((event: AttackEvent) => BanDecision | undefined) | undefined;
  readonly resolve: ResolveName | undefined;
  readonly kind: PeerKind;
  readonly policy: ReachPolicy;
  readonly relays: boolean | readonly OwnRelay[];
  readonly serveRelay: PeersRelayOptions | undefined;
  readonly turn: readonly TurnServer[];
  /** What TCP dials with. */
  readonly tcpNetwork: Network;
  readonly isProxied: boolean;
  readonly coordinate: boolean;
  readonly punch: boolean;
  readonly observers: Observers;
  readonly portMapping: boolean | PortMapper;
  readonly accept: Accept<PeerAddr> | undefined;
  /** The program may change it. */
  acceptBootstrap: boolean;
  readonly exchange: Exclude<PeersOptions['exchange'], undefined>;
  readonly dht: boolean | PeersDhtOptions;
  readonly dialBack: boolean;
  readonly movePortEveryMs: number;
  readonly sources: readonly CandidateSource[];
  readonly externalAddrs: readonly string[];
  readonly maxQueueBytes: number;
  readonly maxHeldBytes: number;
  readonly maxPeers: number;
  readonly limits: Omit<SessionOptions, 'session' | 'isSmaller' | 'mayHold'>;
  readonly pending: { readonly maxPendingMessages: number; readonly maxPendingBytes: number };
  readonly transports: readonly ('tcp' | 'quic' | TransportOptions)[];
  readonly security: 'tls' | 'noise';
  readonly mask: { readonly key: Uint8Array } | undefined;
  readonly onKeyLog: ((line: string) => void) | undefined;
  readonly realm: Realm;
  readonly network: Network;
}

const MIB = 1_048_576;
/** Credit for streams: of all, and of each. */
const STREAMS_WINDOW_BYTES: number = 4 * MIB;
const STREAM_WINDOW_BYTES = 262_144;
const NAMED = /^[a-z][a-z0-9-]{0,31}:\/\/./;
const TRANSPORT_NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** @throws {TypeError | RangeError} for what is out of bounds. */
export function resolveOptions(options: PeersOptions): ResolvedOptions {
  if (typeof options !== 'object' || options === null) throw new TypeError('Cannot take options: expected an object');
  const {
    privateKey,
    networkName = 'shoal',
    kind = 'node',
    accept,
    acceptBootstrap = true,
    realm = systemRealm,
  } = options;
  const {
    security = 'tls',
    network = systemNetwork,
    sources = [],
    externalAddrs = [],
    transports = ['tcp', 'quic'],
  } = options;
  assertPrivateKey(privateKey);
  assertString(networkName, 'networkName');
  assertRealm(realm);
  assertNetwork(network);
  if (accept !== undefined) assertFunction(accept, 'accept');
  if (kind !== 'node' && kind !== 'client') {
    throw new TypeError(`Cannot take kind: expected 'node' or 'client', got ${describeValue(kind)}`);
  }
  if (options.onKeyLog !== undefined) assertFunction(options.onKeyLog, 'onKeyLog');
  assertSwitch(options.acceptBootstrap, 'acceptBootstrap');
  assertSwitch(options.dialBack, 'dialBack');
  assertSwitch(options.coordinate, 'coordinate');
  assertSwitch(options.punch, 'punch');
  if (options.turn !== undefined) assertList(options.turn, 'turn', '{ server, username, credential }');
  for (const server of options.turn ?? []) resolveTurn(server);
  if (options.observers !== undefined) assertList(options.observers, 'observers', `'ip:port'`);
  for (const name of ['exchange', 'dht', 'lan', 'banPolicy', 'relays', 'serveRelay', 'portMapping'] as const)
    assertSwitch(options[name], name, true);
  if (typeof options.relays === 'object') assertList(options.relays, 'relays', "'PeerID@host:port'");
  if (typeof options.serveRelay === 'object') assertRelayOptions(options.serveRelay);
  if (typeof options.portMapping === 'object') {
    const mapper = Object(options.portMapping) as Record<string, unknown>;
    for (const name of ['map', 'close'] as const) assertFunction(mapper[name], `portMapping.${name}`);
  }
  if (options.mask !== undefined) {
    if (typeof options.mask !== 'object' || options.mask === null) {
      throw new TypeError(`Cannot take mask: expected { key }, got ${describeOption('mask', options.mask)}`);
    }
    assertMaskKey(options.mask.key);
  }
  if (!Array.isArray(sources))
    throw new TypeError(`Cannot take sources: expected a list, got ${describeValue(sources)}`);
  for (const source of sources) assertFunction(Object(source).candidates, 'sources');
  trackersOf(options.tracker);
  assertTransports(transports);
  const nameBytes = encodeText(networkName);
  if (nameBytes.length < 1 || nameBytes.length > 255) {
    throw new RangeError(`Cannot take networkName: expected 1 to 255 bytes, got ${nameBytes.length}`);
  }
  const id = peerIdOfKey(privateKey.publicKey);
  const lists = new PeerLists({ realm });
  if (options.lists !== undefined) lists.replace(options.lists);
  const policy = options.banPolicy ?? false;
  const pending = assertPendingLimits(options);
  wholeNumber(options.minPeers, 'minPeers', 3, 0, 256);
  const maxMessageBytes = wholeNumber(options.maxMessageBytes, 'maxMessageBytes', 16 * MIB, 1, 2 ** 30);
  const windowBytes = pending.maxPendingBytes + maxMessageBytes;
  return {
    id,
    publicKey: privateKey.publicKey,
    privateKey,
    networkName,
    networkTag: hash('sha256', concatBytes(encodeText('shoal network\0'), nameBytes)),
    lists,
    attackThresholds: options.attackThresholds,
    ban: policy === false ? undefined : banPolicy(policy === true ? {} : policy),
    resolve: options.resolve,
    kind,
    policy: policyOf(options.policy),
    relays: typeof options.relays === 'object' ? options.relays.map(ownRelay) : (options.relays ?? true),
    serveRelay:
      typeof options.serveRelay === 'object' ? options.serveRelay : options.serveRelay === true ? {} : undefined,
    turn: options.turn ?? [],
    tcpNetwork: options.proxy === undefined ? network : throughProxy(network, options.proxy, { realm }),
    isProxied: options.proxy !== undefined,
    coordinate: options.coordinate ?? (options.serveRelay ?? false) !== false,
    punch: options.punch ?? true,
    observers: new Observers(
      (options.observers ?? []).map((text) => parseIpSocketAddress(text, 'observers')),
      network,
    ),
    portMapping: options.portMapping ?? false,
    accept,
    acceptBootstrap,
    exchange: options.exchange ?? true,
    dht: options.dht ?? false,
    dialBack: options.dialBack ?? true,
    movePortEveryMs: quantity(options.movePortEveryMs, 'movePortEveryMs', Infinity, 1000, Infinity),
    sources,
    externalAddrs: externalAddrs.flatMap((text) => announced(id, text, transports)),
    maxQueueBytes: wholeNumber(options.maxQueueBytes, 'maxQueueBytes', 64 * MIB, 1, Number.MAX_SAFE_INTEGER),
    maxHeldBytes: wholeNumber(options.maxHeldBytes, 'maxHeldBytes', 64 * MIB, 65_536, 2 ** 40),
    maxPeers: wholeNumber(options.maxPeers, 'maxPeers', 4096, 1, 2 ** 20),
    limits: {
      maxMessageBytes,
      tellWindow: windowBytes,
      requestWindow: windowBytes,
      streamsWindow: STREAMS_WINDOW_BYTES,
      streamWindow: STREAM_WINDOW_BYTES,
      resumeMs: quantity(options.resumeMs, 'resumeMs', 30_000, 0, 86_400_000),
      idleMs: quantity(options.idleTimeoutMs, 'idleTimeoutMs', 60_000, 1, Infinity),
    },
    pending,
    transports,
    security,
    mask: options.mask,
    onKeyLog: options.onKeyLog,
    realm,
    network,
  };
}

const POLICIES: readonly ReachPolicy[] = ['any', 'direct', 'no_third_party', 'own_relays', 'relayed'];

/** @throws {TypeError} when `policy` is not a path policy. */
export function policyOf(policy: ReachPolicy = 'any'): ReachPolicy {
  if (POLICIES.includes(policy)) return policy;
  throw new TypeError(`Cannot take policy: expected one of ${POLICIES.join(', ')}, got ${describeValue(policy)}`);
}

function assertList(value: unknown, name: string, of: string): void {
  if (!Array.isArray(value)) throw new TypeError(`Cannot take ${name}: expected [${of}], got ${describeValue(value)}`);
}

/** @throws {TypeError} for what names no relay. */
function ownRelay(contact: string): OwnRelay {
  const [id, at] = typeof contact === 'string' ? contact.split('@') : [];
  if (id === undefined || at === undefined || !isPeerId(id)) {
    throw new TypeError(`Cannot take relays: expected PeerID@host:port, got ${describeValue(contact)}`);
  }
  parseContact(contact, 'relays');
  return { id, contact };
}

/** A forwarded port is one for each own transport. @throws {TypeError} for what is no address. */
function announced(id: PeerId, text: unknown, transports: ResolvedOptions['transports']): readonly string[] {
  if (typeof text === 'string' && NAMED.test(text)) return [text];
  const socket = typeof text === 'string' ? parseSocketAddress(text) : undefined;
  if (socket === undefined) {
    throw new TypeError(`Cannot take externalAddrs: expected ip:port, got ${describeOption('externalAddrs', text)}`);
  }
  const at = formatSocketAddress(socket.ip, socket.port);
  return transports.filter((name) => typeof name === 'string').map((name) => `${name}://${id}@${at}`);
}

function assertTransports(transports: unknown): asserts transports is readonly ('tcp' | 'quic' | TransportOptions)[] {
  if (!Array.isArray(transports) || transports.length === 0) {
    throw new TypeError(
      `Cannot take transports: expected a list such as ['tcp', 'quic'], got ${describeOption('transports', transports)}`,
    );
  }
  const names = new Set<string>();
  for (const transport of transports as readonly (string | Partial<TransportOptions>)[]) {
    const name = typeof transport === 'string' ? transport : transport?.name;
    const isKnown = typeof transport !== 'string' || name === 'tcp' || name === 'quic';
    if (!isKnown || typeof name !== 'string' || !TRANSPORT_NAME.test(name)) {
      throw new TypeError(
        `Cannot take transports: expected 'tcp', 'quic' or { name, swarm }, got ${describeValue(name ?? transport)}`,
      );
    }
    if (names.has(name)) throw new TypeError(`Cannot take transports: ${name} is named twice`);
    names.add(name);
    if (typeof transport === 'string') continue;
    const swarm = Object(transport.swarm) as Record<string, unknown>;
    if (typeof swarm['tell'] !== 'function' || typeof swarm['knownPublicKey'] !== 'function') {
      const got = describeValue(transport.swarm);
      throw new TypeError(`Cannot take transports: expected a swarm that authenticates as ${name}, got ${got}`);
    }
  }
}
