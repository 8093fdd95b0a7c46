/** The connections of an endpoint, from the handshake to the end. */

import type { Addr } from '../core/addr.ts';
import type { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { Swarm } from '../core/swarm.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import type { Waits } from '../runtime/waits.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';
import { type MakeEndpoint, QuicDriver } from '../quic/quic-driver.ts';
import type { DialWaiter } from '../sessions/dials.ts';
import { Admission } from './admission.ts';
import { CLOSE_CODE } from './codes.ts';
import type { ConnectionHooks } from './connection-hooks.ts';
import { ConnectionIndex } from './connection-index.ts';
import { EndpointDials } from './endpoint-dials.ts';
import type { IncomingMessage } from './incoming-message.ts';
import { Lingering } from './lingering.ts';
import { LiveConnection } from './live-connection.ts';
import type { MessageFormat } from './message-format.ts';
import type { ResolvedEndpointOptions } from './options.ts';
import { createPeerTable, type PeerTable } from './peer-table.ts';
import type { SharedInbox } from './shared-inbox.ts';
import { StreamBudget } from './stream-budget.ts';
import type { Dialled } from './targets.ts';
import { Upkeep } from './upkeep.ts';

/** What the connections need of their endpoint. */
export interface EndpointConnectionsHooks<A extends Addr, M> {
  readonly format: MessageFormat<M>;
  readonly counters: CounterSet;
  readonly waits: Waits;
  readonly inbox: SharedInbox<IncomingMessage<LiveConnection<A, M>, M>>;
  connected(connection: LiveConnection<A, M>): void;
  disconnected(connection: LiveConnection<A, M>): void;
  /** The `closed` error of an attempt, once the endpoint is closed. */
  readonly closedError: (what: string) => P2PError | undefined;
  failed(bug: Error): void;
  /** Runs in a later turn, unless the endpoint has closed by then. */
  later(act: () => void): void;
}

export class EndpointConnections<A extends Addr, M> {
  readonly index: ConnectionIndex<A, M>;
  readonly #realm: Realm;
  readonly #resolved: ResolvedEndpointOptions<A>;
  readonly #hooks: EndpointConnectionsHooks<A, M>;
  readonly #driver: QuicDriver<A>;
  readonly #connectionHooks: ConnectionHooks<LiveConnection<A, M>, M>;
  readonly #memory: StreamBudget;
  readonly #table: PeerTable<A, M>;
  readonly #dials: EndpointDials<A, M>;
  /** Connections whose handshake is over on this side. Bounded by `maxConnections` and the dials. */
  readonly #live = new Map<QuicConnection, LiveConnection<A, M>>();
  readonly #lingering: Lingering<LiveConnection<A, M>>;
  readonly #admission: Admission<A>;
  readonly #upkeep: Upkeep;
  #numbers = 0;

  constructor(
    inner: Swarm<A>,
    resolved: ResolvedEndpointOptions<A>,
    own: PeerId,
    hooks: EndpointConnectionsHooks<A, M>,
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    const { counters } = hooks;
    this.#realm = realm;
    this.#resolved = resolved;
    this.#hooks = hooks;
    this.#memory = new StreamBudget(resolved.maxEndpointBytes);
    const { maxConnectionsPerPeer, streamTimeoutMs } = resolved;
    const scheduleFlush = (): void => this.#driver.scheduleFlush();
    this.#table = createPeerTable({ realm, own, maxConnectionsPerPeer, scheduleFlush });
    this.#upkeep = new Upkeep({ realm, streamTimeoutMs, look: () => this.#look() });
    this.index = new ConnectionIndex(this.#table);
    this.#lingering = new Lingering(() => counters.countDrop('endpoint.untaken'));
    this.#admission = new Admission(resolved, {
      realm,
      counters,
      addrOf: (connection) => this.#driver.placeOf(connection)?.src,
      decided: (connection, accepted) => this.#decided(connection, accepted),
    });
    this.#connectionHooks = this.#makeHooks();
    this.#driver = new QuicDriver(
      inner,
      {
        judge: (judged) => this.#admission.judge(judged, this.#dials.expected(judged.connection)),
        handlerOf: (connection) => this.#live.get(connection),
        connected: (connection) => {
          if (!this.#admission.isPending(connection)) this.#connected(connection);
        },
        closed: (connection, closed) => this.#ended(connection, closed),
        datagrams: (connection) => {
          // The endpoint has no use for QUIC datagrams: they are dropped, so that they hold no memory.
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
        unreachable: (place, error) => this.#dials.unreachable(place, error),
        failed: (bug) => hooks.failed(bug),
        later: (act) => hooks.later(act),
      },
      (driverHooks) => makeEndpoint({ ...driverHooks, heldElsewhere: () => this.#memory.bytes }),
    );
    this.#dials = new EndpointDials({
      resolved,
      table: this.#table,
      driver: this.#driver,
      admission: this.#admission,
      failed: (addr, error) => this.#trace('handshake_failed', addr, error.code, error),
    });
  }

  /** Sizes, for `inspect`. */
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

  /** The last known address of a peer. */
  addrOf(peer: PeerId): A | undefined {
    return this.#table.recall(peer);
  }

  /** Gets the connection to a target, or dials it. Returns a function that stops waiting. */
  connect(target: Dialled<A>, waiter: DialWaiter<LiveConnection<A, M>>): () => void {
    const found = target.fresh ? undefined : this.index.find(target);
    if (found === undefined) return this.#dials.join(target, waiter);
    waiter(found);
    return () => {};
  }

  /** Asks `accept` again about every peer, and closes the connections that it refuses. */
  recheck(): Promise<void> {
    const connections = [...this.index.values()].map(({ connection }) => connection);
    return this.#admission.recheck(connections, (connection) => {
      connection.close(CLOSE_CODE.REFUSED, 'not accepted');
      this.#driver.scheduleFlush();
    });
  }

  close(code: number, reason: string): void {
    this.#upkeep.stop();
    this.#admission.close();
    this.#driver.close(code, reason);
    this.#table.clear(this.#hooks.closedError('connect')!);
    this.index.clear();
    this.#lingering.close();
  }

  /** `accept` has answered. Streams that the peer has opened in the meantime are read now. */
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

  /** The handshake is over on this side. The initiator waits for the welcome, because the responder may still refuse it. */
  #connected(connection: QuicConnection): void {
    const target = this.#dials.targetOf(connection);
    if (connection.side === 'responder' && target === undefined) {
      connection.close(CLOSE_CODE.NORMAL, 'given up');
      return;
    }
    const number = ++this.#numbers;
    const addr = this.#driver.placeOf(connection)!.src;
    const fresh = target?.fresh ?? false;
    const live = new LiveConnection<A, M>(this.#connectionHooks, connection, {
      ...this.#admission.peerOf(connection),
      number,
      fresh,
      addr,
    });
    this.#live.set(connection, live);
    const { prefaced } = this.#hooks.format.framing;
    if (prefaced && connection.side === 'responder') return;
    if (prefaced) live.welcome();
    this.#admit(live);
  }

  #welcomed(live: LiveConnection<A, M>): void {
    const { connection } = live;
    if (connection.state !== 'open') return;
    if (this.#dials.targetOf(connection) === undefined) {
      connection.close(CLOSE_CODE.MALFORMED, 'a welcome where none can be');
      return;
    }
    this.#admit(live);
  }

  /** Both sides have accepted each other. */
  #admit(live: LiveConnection<A, M>): void {
    this.#trace('session', live.remoteAddr, live.side);
    this.#upkeep.start();
    this.#hooks.connected(live);
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
    this.#live.delete(connection);
    this.#admission.forget(connection);
    if (!this.#dials.ended(connection, closed) && live === undefined)
      this.#hooks.counters.countDrop('endpoint.handshake_failed');
    const admitted = live !== undefined && this.index.remove(live);
    if (live === undefined || !admitted) {
      connection.forget();
      live?.handleClosed(closed);
      return;
    }
    this.#lingering.add(live, this.#realm.nowMs());
    live.handleClosed(closed);
    this.#hooks.disconnected(live);
  }

  /** @returns whether there is something left to look after */
  #look(): boolean {
    for (const live of this.index.values()) live.expire(this.#resolved.streamTimeoutMs);
    const held = { messageBytes: this.#memory.bytes, engineBytes: this.#driver.engineBytes };
    if (this.#lingering.relieve(this.#realm.nowMs(), held)) this.#driver.scheduleFlush();
    return this.index.size > 0 || this.#lingering.size > 0;
  }

  #makeHooks(): ConnectionHooks<LiveConnection<A, M>, M> {
    const { format, inbox, waits, counters } = this.#hooks;
    return {
      format,
      inbox,
      limits: this.#resolved.limits,
      memory: this.#memory,
      waits,
      nowMs: () => this.#realm.nowMs(),
      scheduleFlush: () => this.#driver.scheduleFlush(),
      later: (act) => this.#hooks.later(act),
      poll: () => this.#driver.poll(),
      welcomed: (live) => this.#welcomed(live),
      dropped: (fault) => counters.countDrop(`endpoint.${fault}`),
      countSent: (bytes, further = false) => {
        if (further) counters.sentBytes += bytes;
        else counters.countSent(bytes);
      },
      countReceived: (bytes, further = false) => {
        if (further) counters.receivedBytes += bytes;
        else counters.countReceived(bytes);
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
