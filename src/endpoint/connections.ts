/** The connections of an endpoint: dials them, lets them in, takes part in each, and says when they come and go. */

import { type Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { type Swarm } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type CounterSet } from '../swarm-kit/counter-set.ts';
import { type Waits } from '../runtime/waits.ts';
import { PREFACE } from '../protocols/endpoint/frame.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { type Judged } from '../protocols/quic/endpoint-options.ts';
import { type QuicClosed } from '../protocols/quic/closed.ts';
import { type MakeEndpoint, type Place, QuicDriver } from '../quic/quic-driver.ts';
import { replacedIdleMs } from '../quic/idle-watch.ts';
import { ConnectionTable } from '../sessions/connection-table.ts';
import { type Dial, type DialWaiter } from '../sessions/dials.ts';
import { dialError } from '../quic/errors.ts';
import { Admission } from './admission.ts';
import { CLOSE_CODE } from './codes.ts';
import { type ConnectionHooks } from './connection-hooks.ts';
import { ConnectionIndex, type PeerTable } from './connection-index.ts';
import { Lingering } from './lingering.ts';
import { LiveConnection } from './live-connection.ts';
import { StreamBudget } from './stream-budget.ts';
import { type ResolvedEndpointOptions } from './options.ts';
import { describeTarget, type Dialled } from './targets.ts';

/** What the connections tell their endpoint. */
export interface EndpointConnectionsHooks<A extends Addr> {
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

/** How often in each deadline streams are looked at that stand still: they live a quarter longer at most. */
const LOOKS_PER_DEADLINE = 4;
/** The name that qp2p asks for. */
const QP2P_SERVER_NAME = 'maidsafe.net';

type EndpointDial<A extends Addr> = Dial<Dialled<A>, LiveConnection<A>, QuicConnection>;

export class EndpointConnections<A extends Addr> {
  readonly index: ConnectionIndex<A>;
  readonly #realm: Realm;
  readonly #resolved: ResolvedEndpointOptions<A>;
  readonly #user: EndpointConnectionsHooks<A>;
  readonly #counters: CounterSet;
  readonly #driver: QuicDriver<A>;
  readonly #hooks: ConnectionHooks<LiveConnection<A>>;
  readonly #memory: StreamBudget;
  readonly #table: PeerTable<A>;
  /** Those whose handshake is over on our side. Bounded by `maxConnections` and what we dial. */
  readonly #live = new Map<QuicConnection, LiveConnection<A>>();
  readonly #lingering: Lingering<LiveConnection<A>>;
  readonly #admission: Admission<A>;
  #looking: Timer | undefined;
  #numbers = 0;

  constructor(
    inner: Swarm<A>,
    resolved: ResolvedEndpointOptions<A>,
    own: PeerId,
    parts: { readonly counters: CounterSet; readonly waits: Waits; readonly user: EndpointConnectionsHooks<A> },
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    const { user, counters } = parts;
    this.#realm = realm;
    this.#resolved = resolved;
    this.#user = user;
    this.#counters = counters;
    this.#memory = new StreamBudget(resolved.maxEndpointBytes);
    this.#table = this.#makeTable(own);
    this.index = new ConnectionIndex(this.#table);
    this.#lingering = new Lingering(() => counters.countDrop('endpoint.untaken'));
    this.#admission = new Admission(resolved, {
      realm,
      counters,
      addrOf: (connection) => this.#driver.placeOf(connection)?.src,
      decided: (connection, accepted) => this.#decided(connection, accepted),
    });
    this.#hooks = this.#makeHooks(parts.waits);
    this.#driver = new QuicDriver(
      inner,
      {
        judge: (judged) => this.#judge(judged),
        handlerOf: (connection) => this.#live.get(connection),
        connected: (connection) => {
          if (!this.#admission.isPending(connection)) this.#connected(connection);
        },
        closed: (connection, closed) => this.#ended(connection, closed),
        datagrams: (connection) => {
          // Nobody sends us any; what comes is dropped, so that it holds no memory.
          while (connection.receiveDatagram() !== undefined) counters.countDrop('endpoint.datagram');
        },
        moved: (connection) => this.#moved(connection),
        turnedAway: (how) => counters.countDrop(`endpoint.${how}`),
        engineFailed: (failure) => this.#trace('engine_failed', undefined, failure.message, failure),
        keyLog: (line) => resolved.options.onKeyLog?.(line),
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
      connections: this.index.size,
      peers: this.#table.peers,
      dials: this.#table.dials.size,
      heldBytes: this.#memory.bytes,
      windowBytes: this.#driver.grantedBytes,
      engineBytes: this.#driver.engineBytes,
    };
  }

  /** Where a peer was last. */
  addrOf(peer: PeerId): A | undefined {
    return this.#table.recall(peer);
  }

  /** A connection to a target: one that is there, or one that is made. Answers what gives up waiting. */
  connect(target: Dialled<A>, waiter: DialWaiter<LiveConnection<A>>): () => void {
    const found = target.fresh ? undefined : this.index.find(target);
    if (found !== undefined) {
      waiter(found);
      return () => {};
    }
    const what = describeTarget(target);
    const key = target.fresh ? undefined : `${target.addr.text} ${target.expect ?? ''} ${target.serverName ?? ''}`;
    const { maxQueuedMessages } = this.#resolved.limits;
    return this.#table.join(key, what, () => this.#dial(key, target, what), waiter, maxQueuedMessages);
  }

  close(code: number, reason: string): void {
    this.#looking?.cancel();
    this.#admission.close();
    this.#driver.close(code, reason);
    this.#table.clear(this.#user.closedError('connect')!);
    this.index.clear();
    this.#lingering.close();
  }

  #dial(key: string | undefined, target: Dialled<A>, what: string): EndpointDial<A> | P2PError {
    const { qp2p, trust } = this.#resolved;
    const serverName = qp2p ? QP2P_SERVER_NAME : (target.serverName ?? trust.serverName);
    try {
      const connection = this.#driver.dial(target.addr, what, { serverName });
      return connection instanceof P2PError ? connection : this.#table.dials.add(key, target, connection);
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
      const why = `Cannot reach ${what}: no room for another connection`;
      return new P2PError('limit_exceeded', 'local', why, { sent: 'no', cause });
    }
  }

  #judge(judged: Judged): number | 'pending' | undefined {
    const dial = this.#table.dials.of(judged.connection);
    if (dial === undefined) return this.#admission.judge(judged, undefined);
    const { expect: peerId, serverName } = dial.target;
    return this.#admission.judge(judged, { peerId, serverName, found: (id) => void (dial.found = id) });
  }

  /** `accept` has answered. Streams that the peer has opened meanwhile are read now. */
  #decided(connection: QuicConnection, accepted: boolean): void {
    if (connection.state === 'closed') return;
    if (!accepted) {
      connection.close(CLOSE_CODE.REFUSED, 'not accepted');
      this.#driver.scheduleFlush();
      return;
    }
    this.#driver.admit(connection);
    if (connection.state !== 'open') return;
    this.#connected(connection);
    for (const stream of connection.streams) {
      if (stream.opened === 'there') this.#live.get(connection)?.handleOpened(stream);
    }
  }

  /** Asks `accept` again about every peer, and ends what it refuses. */
  recheck(): Promise<void> {
    const connections = [...this.index.values()].map(({ connection }) => connection);
    return this.#admission.recheck(connections, (connection) => {
      connection.close(CLOSE_CODE.REFUSED, 'not accepted');
      this.#driver.scheduleFlush();
    });
  }

  /** The handshake is over on our side. A client waits for the welcome, since its server may still turn it away. */
  #connected(connection: QuicConnection): void {
    const dial = this.#table.dials.of(connection);
    if (connection.role === 'client' && dial === undefined) {
      connection.close(CLOSE_CODE.NORMAL, 'given up');
      return;
    }
    const number = ++this.#numbers;
    const addr = this.#driver.placeOf(connection)!.src;
    const fresh = dial?.target.fresh ?? false;
    const live = new LiveConnection(this.#hooks, connection, {
      ...this.#admission.peerOf(connection),
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
    if (this.#table.dials.of(connection) === undefined) {
      connection.close(CLOSE_CODE.MALFORMED, 'a welcome where none can be');
      return;
    }
    this.#admit(live);
  }

  /** Both sides have let each other in. */
  #admit(live: LiveConnection<A>): void {
    this.#trace('session', live.remoteAddr, live.side);
    this.#look();
    this.#user.connected(live);
    this.index.add(live);
  }

  #moved(connection: QuicConnection): void {
    const live = this.#live.get(connection);
    const place = this.#driver.placeOf(connection);
    if (live === undefined || place === undefined) return;
    live.handleMoved(place.src);
    this.index.moved(live);
    this.#trace('addr_changed', place.src, live.side);
  }

  #ended(connection: QuicConnection, closed: QuicClosed): void {
    const live = this.#live.get(connection);
    const dial = this.#table.dials.take(connection);
    this.#live.delete(connection);
    this.#admission.forget(connection);
    if (dial !== undefined) {
      const error = this.#dialError(dial, closed);
      this.#trace('handshake_failed', dial.target.addr, error.code, error);
      this.#table.dials.settle(dial, error);
    } else if (live === undefined) this.#counters.countDrop('endpoint.handshake_failed');
    const admitted = live !== undefined && this.index.remove(live);
    if (live === undefined || !admitted) {
      connection.forget();
      live?.handleClosed(closed);
      return;
    }
    this.#lingering.add(live, this.#realm.nowMs());
    live.handleClosed(closed);
    this.#user.disconnected(live);
  }

  #dialError(dial: EndpointDial<A>, closed: QuicClosed): P2PError {
    const what = describeTarget(dial.target);
    const distrust = this.#admission.refusalOf(dial.handle);
    if (distrust === undefined) return dialError({ text: what }, closed, dial.found);
    const side = distrust.code === 'identity_mismatch' ? 'remote' : 'local';
    const why = `Cannot reach ${what}: ${distrust.why}`;
    return new P2PError(distrust.code, side, why, { sent: 'no', cause: closed.cause });
  }

  /** Ends the dials to an address that the swarm below cannot send to; connections have other paths, or time out. */
  #unreachable({ src }: Place<A>, cause: unknown): void {
    for (const dial of this.#table.dials.values()) {
      if (dial.target.addr.text !== src.text) continue;
      this.#table.dials.take(dial.handle);
      dial.handle.close(CLOSE_CODE.NORMAL, '');
      const why = `Cannot reach ${describeTarget(dial.target)}: the swarm below cannot send there`;
      this.#table.dials.settle(dial, new P2PError('unreachable', 'local', why, { sent: 'no', cause }));
    }
    this.#driver.scheduleFlush();
  }

  /** Looks for streams that stand still, as long as there are connections. */
  #look(): void {
    if (this.#looking !== undefined) return;
    const { streamTimeoutMs } = this.#resolved;
    const atMs = this.#realm.nowMs() + Math.ceil(streamTimeoutMs / LOOKS_PER_DEADLINE);
    const look = (): void => {
      this.#looking = undefined;
      for (const live of this.index.values()) live.expire(streamTimeoutMs);
      const held = { messageBytes: this.#memory.bytes, engineBytes: this.#driver.engineBytes };
      if (this.#lingering.relieve(this.#realm.nowMs(), held)) this.#driver.scheduleFlush();
      if (this.index.size > 0 || this.#lingering.size > 0) this.#look();
    };
    this.#looking = clockOf(this.#realm).setTimer(atMs, look, { background: true });
  }

  #makeTable(own: PeerId): PeerTable<A> {
    const { maxConnectionsPerPeer } = this.#resolved;
    const table: PeerTable<A> = new ConnectionTable<LiveConnection<A>, Dialled<A>, QuicConnection, A>({
      realm: this.#realm,
      own,
      expects: ({ expect, fresh }) => (fresh ? undefined : expect),
      remember: ({ remoteAddr }) => remoteAddr,
      replaced: replacedIdleMs,
      // The application knows how many it opens: a surplus connection goes as soon as it is idle.
      surplusIdleMs: () => 0,
      close: ({ connection }, why) => {
        if (why === 'replaced') connection.close(CLOSE_CODE.REPLACED, 'another connection took its place');
        else connection.close(CLOSE_CODE.TOO_MANY, 'too many connections');
        this.#driver.scheduleFlush();
      },
      abandoned: ({ handle }) => {
        // Out of the table first: a later call must not join what is given up.
        table.dials.take(handle);
        handle.close(CLOSE_CODE.NORMAL, 'given up');
        this.#driver.scheduleFlush();
      },
      maxPerPeer: maxConnectionsPerPeer,
      maxAtOnce: 2 * maxConnectionsPerPeer,
    });
    return table;
  }

  #makeHooks(waits: Waits): ConnectionHooks<LiveConnection<A>> {
    const { framing, limits } = this.#resolved;
    return {
      framing,
      limits,
      memory: this.#memory,
      waits,
      nowMs: () => this.#realm.nowMs(),
      scheduleFlush: () => this.#driver.scheduleFlush(),
      later: (act) => this.#user.later(act),
      poll: () => this.#driver.poll(),
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
        if (this.#lingering.has(live)) this.#lingering.add(live, this.#realm.nowMs());
      },
      over: (live) => {
        this.#lingering.done(live);
      },
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#realm.trace?.({ layer: 'endpoint', type, atMs: this.#realm.nowMs(), addr, reason, cause });
  }
}
