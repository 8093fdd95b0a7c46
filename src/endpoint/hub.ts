/** The connections of an endpoint: dials them, lets them in, takes part in each, and says when they come and go. */

import { type Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { type Swarm } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { peerIdOf } from '../identity/fingerprints.ts';
import { type CounterSet } from '../swarm-kit/counter-set.ts';
import { type Waits } from '../runtime/waits.ts';
import { PREFACE } from '../protocols/endpoint/frame.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { ALERT, type Judged } from '../protocols/quic/endpoint-options.ts';
import { type QuicClosed, type QuicEvent } from '../protocols/quic/events.ts';
import { Connections, type MakeEndpoint, type Place } from '../quic/connections.ts';
import { type Dial, DialTable, type DialWaiter } from '../quic/dials.ts';
import { dialError } from '../quic/errors.ts';
import { keyOf } from '../identity/quic-identity.ts';
import { Retirement } from '../quic/rivalry.ts';
import { CLOSE_CODE } from './codes.ts';
import { type ConnectionHost, type Peer } from './connection-host.ts';
import { LiveConnection } from './live-connection.ts';
import { MemoryBudget } from './memory-budget.ts';
import { type ResolvedEndpointOptions } from './options.ts';
import { Pool } from './pool.ts';
import { type Target } from './targets.ts';
import { type Distrust } from './trust.ts';

/** What a dial is for. */
export interface Dialled<A extends Addr> extends Target<A> {
  readonly serverName: string | undefined;
  /** Shared with nobody. */
  readonly fresh: boolean;
}

/** What the hub tells. */
export interface HubUser<A extends Addr> {
  connected(connection: LiveConnection<A>): void;
  disconnected(connection: LiveConnection<A>): void;
  /** Messages of a connection can be taken. */
  wake(connection: LiveConnection<A>): void;
  /** The endpoint's `closed` error for something attempted, once it is closed. */
  closedError(what: string): P2PError | undefined;
  failed(bug: Error): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
}

/** Connections that have ended with messages that were not taken; the eldest is forgotten. */
const MAX_LINGERING = 1024;
/** Where memory is short, what nobody takes is kept for so long after the end of its connection. */
const LINGER_MS = 10_000;
/** Memory is short when messages, or engines, hold so much. */
const LINGER_BYTES = 8 * 2 ** 20;
const LINGER_ENGINE_BYTES = 16 * 2 ** 20;
/** Peers without a connection whose address is remembered; the longest unused is forgotten. */
const MAX_KNOWN_ADDRS = 4096;
/** How often in each deadline streams are looked at that stand still: they live a quarter longer at most. */
const LOOKS_PER_DEADLINE = 4;
/** The name that qp2p asks for. */
const QP2P_SERVER_NAME = 'maidsafe.net';

/** Whoever showed no certificate, or is not asked who it is. */
const NOBODY: Peer = { authenticated: false, id: undefined, publicKey: undefined };

export class Hub<A extends Addr> {
  readonly pool: Pool<A>;
  readonly #realm: Realm;
  readonly #resolved: ResolvedEndpointOptions<A>;
  readonly #user: HubUser<A>;
  readonly #counters: CounterSet;
  readonly #connections: Connections<A>;
  readonly #host: ConnectionHost<A>;
  readonly #memory: MemoryBudget;
  readonly #dials: DialTable<Dialled<A>, LiveConnection<A>>;
  readonly #retirement: Retirement<LiveConnection<A>>;
  /** Those whose handshake is over on our side. Bounded by `maxConnections` and what we dial. */
  readonly #live = new Map<QuicConnection, LiveConnection<A>>();
  /** With when something of it was last taken, longest ago first. Bounded by `MAX_LINGERING`. */
  readonly #lingering = new Map<LiveConnection<A>, number>();
  /** Bounded by `MAX_KNOWN_ADDRS`. */
  readonly #known = new Map<PeerId, A>();
  /** Who has proven to be who, and is judged. */
  readonly #proven = new WeakMap<QuicConnection, Peer>();
  /** Why peers were turned away, until their connections have ended. */
  readonly #distrusted = new WeakMap<QuicConnection, Distrust>();
  #looking: Timer | undefined;
  #numbers = 0;

  constructor(
    inner: Swarm<A>,
    resolved: ResolvedEndpointOptions<A>,
    own: PeerId,
    parts: { readonly counters: CounterSet; readonly waits: Waits; readonly user: HubUser<A> },
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    const { user, counters } = parts;
    this.#realm = realm;
    this.#resolved = resolved;
    this.#user = user;
    this.#counters = counters;
    this.#memory = new MemoryBudget(resolved.maxEndpointBytes);
    this.pool = new Pool(own, resolved.maxConnectionsPerPeer);
    this.#dials = new DialTable((dial) => {
      // Out of the table first: whoever calls next must not join what is given up.
      this.#dials.take(dial.connection);
      dial.connection.close(CLOSE_CODE.NORMAL, 'given up');
      this.#connections.kick();
    });
    this.#retirement = new Retirement({
      realm,
      inUse: (connection) => this.pool.isCurrent(connection),
      close: ({ connection }) => connection.close(CLOSE_CODE.REPLACED, 'another connection took its place'),
      poll: () => this.#connections.poll(),
    });
    this.#host = this.#makeHost(parts.waits);
    this.#connections = new Connections(
      inner,
      {
        judge: (judged) => this.#judge(judged),
        event: (event) => this.#event(event),
        other: (message) => {
          if (resolved.options.onOther === undefined) counters.countDrop('endpoint.not_quic');
          else resolved.options.onOther(message);
        },
        unreachable: (place, error) => this.#unreachable(place, error),
        failed: (bug) => user.failed(bug),
        later: (act) => user.later(act),
      },
      (hooks) => makeEndpoint({ ...hooks, heldElsewhere: () => this.#memory.bytes }),
    );
  }

  /** How full it is, for `inspect`. */
  get state(): Readonly<Record<string, number>> {
    return {
      connections: this.pool.size,
      peers: this.pool.peers,
      dials: this.#dials.size,
      heldBytes: this.#memory.bytes,
      windowBytes: this.#connections.grantedBytes,
      engineBytes: this.#connections.engineBytes,
    };
  }

  /** Where a peer was last. */
  addrOf(peer: PeerId): A | undefined {
    return this.pool.ofPeer(peer)[0]?.remoteAddr ?? this.#known.get(peer);
  }

  /** A connection to a target: one that is there, or one that is made. Answers what gives up waiting. */
  connect(target: Dialled<A>, waiter: DialWaiter<LiveConnection<A>>): () => void {
    const found = target.fresh ? undefined : this.pool.find(target);
    if (found !== undefined) {
      waiter(found);
      return () => {};
    }
    const what = describeTarget(target);
    const key = target.fresh ? undefined : `${target.addr.text} ${target.expect ?? ''} ${target.serverName ?? ''}`;
    const dial = (key === undefined ? undefined : this.#dials.get(key)) ?? this.#dial(key, target, what);
    if (dial instanceof P2PError) {
      waiter(dial);
      return () => {};
    }
    return this.#dials.join(dial, what, waiter, this.#resolved.limits.maxQueuedMessages);
  }

  close(code: number, reason: string): void {
    this.#looking?.cancel();
    this.#connections.close(code, reason);
    this.#retirement.stop();
    for (const connection of this.#lingering.keys()) connection.forget();
  }

  #dial(key: string | undefined, target: Dialled<A>, what: string): Dial<Dialled<A>, LiveConnection<A>> | P2PError {
    const { qp2p, trust } = this.#resolved;
    const serverName = qp2p ? QP2P_SERVER_NAME : (target.serverName ?? trust.serverName);
    try {
      const connection = this.#connections.dial(target.addr, what, { serverName });
      return connection instanceof P2PError ? connection : this.#dials.add(key, target, connection);
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
      const why = `Cannot reach ${what}: no room for another connection`;
      return new P2PError('limit_exceeded', 'local', why, { sent: 'no', cause });
    }
  }

  #judge({ connection, chain }: Judged): number | undefined {
    const key = keyOf(chain[0]!);
    if (key === undefined) return ALERT.UNSUPPORTED_CERTIFICATE;
    const { trust, fingerprint } = this.#resolved;
    const peerId = peerIdOf(key, fingerprint);
    if (trust.authenticates) this.#proven.set(connection, { authenticated: true, id: peerId, publicKey: key });
    const dial = this.#dials.of(connection);
    if (dial?.target.expect !== undefined && dial.target.expect !== peerId) {
      dial.found = peerId;
      return ALERT.BAD_CERTIFICATE;
    }
    const addr = this.#connections.placeOf(connection)?.src.text ?? '';
    const role = connection.role === 'client' ? 'dialler' : 'acceptor';
    const serverName = dial === undefined ? undefined : (dial.target.serverName ?? trust.serverName);
    const peer = { peerId, publicKey: key, certificates: chain, addr, role } as const;
    const distrust = trust.judge(peer, serverName, this.#realm.wallMs());
    if (distrust === undefined) return undefined;
    this.#counters.countDrop('endpoint.not_trusted');
    if (distrust.cause !== undefined) {
      this.#trace('refused', this.#connections.placeOf(connection)?.src, distrust.why, distrust.cause);
    }
    this.#distrusted.set(connection, distrust);
    return distrust.alert;
  }

  #event(event: QuicEvent): void {
    switch (event.type) {
      case 'connected':
        this.#connected(event.connection);
        return;
      case 'closed':
        this.#ended(event.connection, event.closed);
        return;
      case 'stream':
      case 'readable':
      case 'writable':
      case 'acknowledged':
      case 'stopped':
        this.#live.get(event.stream.connection)?.handleStream(event.type, event.stream);
        return;
      case 'streams_available':
        this.#live.get(event.connection)?.handleAvailable(event.kind);
        return;
      case 'path_changed':
        this.#moved(event.connection);
        return;
      case 'turned_away':
        this.#counters.countDrop(`endpoint.${event.how}`);
        return;
      case 'engine_failed':
        this.#trace('engine_failed', undefined, event.failure.message, event.failure);
        return;
      case 'key_log':
        this.#resolved.options.onKeyLog?.(event.line);
        return;
      case 'datagrams':
        // Nobody sends us any; what comes is dropped, so that it holds no memory.
        while (event.connection.receiveDatagram() !== undefined) this.#counters.countDrop('endpoint.datagram');
        return;
      case 'negotiated':
      case 'datagrams_writable':
      case 'mtu_changed':
        return;
    }
  }

  /** The handshake is over on our side. A client waits for the welcome, since its server may still turn it away. */
  #connected(connection: QuicConnection): void {
    const dial = this.#dials.of(connection);
    if (connection.role === 'client' && dial === undefined) {
      connection.close(CLOSE_CODE.NORMAL, 'given up');
      return;
    }
    const number = ++this.#numbers;
    const addr = this.#connections.placeOf(connection)!.src;
    const fresh = dial?.target.fresh ?? false;
    const live = new LiveConnection(this.#host, connection, {
      ...(this.#proven.get(connection) ?? NOBODY),
      number,
      fresh,
      addr,
    });
    this.#live.set(connection, live);
    if (connection.role === 'client' && this.#resolved.framing.prefaced) return;
    if (connection.role === 'server' && this.#resolved.framing.prefaced) {
      connection.open('uni')?.write(Uint8Array.of(PREFACE.WELCOME), true);
    }
    this.#admit(live);
  }

  #welcomed(live: LiveConnection<A>): void {
    const { connection } = live;
    if (connection.state !== 'open') return;
    if (this.#dials.of(connection) === undefined) {
      connection.close(CLOSE_CODE.MALFORMED, 'a welcome where none can be');
      return;
    }
    this.#admit(live);
  }

  /** Both sides have let each other in. */
  #admit(live: LiveConnection<A>): void {
    const { connection, peerId } = live;
    const dial = this.#dials.take(connection);
    const { chosen, replaced, surplus } = this.pool.add(live);
    if (peerId !== undefined) this.#remember(peerId, live.remoteAddr);
    this.#trace('session', live.remoteAddr, live.role);
    this.#look();
    this.#user.connected(live);
    // Others may wait for the same peer at another of its addresses.
    for (const other of this.#dials.values()) {
      if (peerId !== undefined && other.target.expect === peerId && !other.target.fresh) {
        this.#dials.settle(other, chosen);
      }
    }
    if (dial !== undefined) this.#dials.settle(dial, chosen);
    if (replaced !== undefined) this.#retirement.retire(replaced);
    surplus?.connection.close(CLOSE_CODE.TOO_MANY, 'too many connections');
  }

  #moved(connection: QuicConnection): void {
    const live = this.#live.get(connection);
    const place = this.#connections.placeOf(connection);
    if (live === undefined || place === undefined) return;
    live.handleMoved(place.src);
    this.pool.moved(live);
    if (live.peerId !== undefined) this.#remember(live.peerId, place.src);
    this.#trace('addr_changed', place.src, live.role);
  }

  #ended(connection: QuicConnection, closed: QuicClosed): void {
    const live = this.#live.get(connection);
    const dial = this.#dials.take(connection);
    this.#live.delete(connection);
    if (dial !== undefined) {
      const error = this.#dialError(dial, closed);
      this.#trace('handshake_failed', dial.target.addr, error.code, error);
      this.#dials.settle(dial, error);
    } else if (live === undefined) this.#counters.countDrop('endpoint.handshake_failed');
    const admitted = live !== undefined && this.pool.remove(connection);
    if (live === undefined || !admitted) {
      connection.forget();
      live?.handleClosed(closed);
      return;
    }
    this.#linger(live);
    live.handleClosed(closed);
    this.#user.disconnected(live);
  }

  #dialError(dial: Dial<Dialled<A>, LiveConnection<A>>, closed: QuicClosed): P2PError {
    const what = describeTarget(dial.target);
    const distrust = this.#distrusted.get(dial.connection);
    if (distrust === undefined) return dialError({ text: what }, closed, dial.found);
    const side = distrust.code === 'identity_mismatch' ? 'remote' : 'local';
    const why = `Cannot reach ${what}: ${distrust.why}`;
    return new P2PError(distrust.code, side, why, { sent: 'no', cause: closed.cause });
  }

  /** Ends the dials to an address that the swarm below cannot send to; connections have other paths, or time out. */
  #unreachable({ src }: Place<A>, cause: unknown): void {
    for (const dial of this.#dials.values()) {
      if (dial.target.addr.text !== src.text) continue;
      this.#dials.take(dial.connection);
      dial.connection.close(CLOSE_CODE.NORMAL, '');
      const why = `Cannot reach ${describeTarget(dial.target)}: the swarm below cannot send there`;
      this.#dials.settle(dial, new P2PError('unreachable', 'local', why, { sent: 'no', cause }));
    }
    this.#connections.kick();
  }

  #remember(peer: PeerId, addr: A): void {
    this.#known.delete(peer);
    this.#known.set(peer, addr);
    if (this.#known.size > MAX_KNOWN_ADDRS) this.#known.delete(this.#known.keys().next().value!);
  }

  #linger(live: LiveConnection<A>): void {
    this.#lingering.delete(live);
    this.#lingering.set(live, this.#realm.nowMs());
    const [eldest] = this.#lingering.keys();
    if (this.#lingering.size > MAX_LINGERING) this.#letGo(eldest!);
  }

  #letGo(live: LiveConnection<A>): void {
    this.#lingering.delete(live);
    live.forget();
    this.#counters.countDrop('endpoint.untaken');
  }

  /** Gives up what nobody takes of connections that have ended, where memory is short. */
  #letGoUntaken(): void {
    const nowMs = this.#realm.nowMs();
    const short = this.#memory.bytes > LINGER_BYTES || this.#connections.engineBytes > LINGER_ENGINE_BYTES;
    for (const [live, sinceMs] of this.#lingering) {
      if (!short || nowMs - sinceMs < LINGER_MS) return;
      this.#letGo(live);
      this.#connections.kick();
    }
  }

  /** Looks for streams that stand still, as long as there are connections. */
  #look(): void {
    if (this.#looking !== undefined) return;
    const { streamTimeoutMs } = this.#resolved;
    const atMs = this.#realm.nowMs() + Math.ceil(streamTimeoutMs / LOOKS_PER_DEADLINE);
    const look = (): void => {
      this.#looking = undefined;
      for (const live of this.pool.values()) live.expire(streamTimeoutMs);
      this.#letGoUntaken();
      if (this.pool.size > 0 || this.#lingering.size > 0) this.#look();
    };
    this.#looking = clockOf(this.#realm).setTimer(atMs, look, { background: true });
  }

  #makeHost(waits: Waits): ConnectionHost<A> {
    const { framing, limits } = this.#resolved;
    return {
      framing,
      limits,
      memory: this.#memory,
      waits,
      nowMs: () => this.#realm.nowMs(),
      kick: () => this.#connections.kick(),
      later: (act) => this.#user.later(act),
      poll: () => this.#connections.poll(),
      wake: (live) => this.#user.wake(live),
      welcomed: (live) => this.#welcomed(live),
      dropped: (fault) => this.#counters.countDrop(`endpoint.${fault}`),
      countSent: (bytes, further = false) => {
        if (further) this.#counters.sentBytes += bytes;
        else this.#counters.countSent(bytes);
      },
      countReceived: (bytes, further = false) => {
        if (further) this.#counters.receivedBytes += bytes;
        else this.#counters.countReceived(bytes);
      },
      taken: (live) => {
        if (this.#lingering.has(live)) this.#linger(live);
      },
      over: (live) => {
        if (this.#lingering.delete(live)) live.forget();
      },
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#realm.trace?.({ layer: 'endpoint', type, atMs: this.#realm.nowMs(), addr, reason, cause });
  }
}

/** `<PeerID>@127.0.0.1:5000`, or what of it is known. */
export function describeTarget<A extends Addr>({ addr, expect }: Target<A>): string {
  return expect === undefined ? addr.text : `${expect}@${addr.text}`;
}
