/** The connections of a QUIC swarm: dials peers, admits them, and keeps their sessions. */

import { type Addr, ipOf } from '../../core/addr.ts';
import type { Bytes } from '../../base/bytes.ts';
import type { DropReason } from '../../core/counters.ts';
import { P2PError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import type { PublicKey } from '../../core/secure.ts';
import type { Swarm } from '../../core/swarm.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { PeerSessions, SessionsHooks } from '../../sessions/peer-sessions.ts';
import type { QuicConnection } from '../../protocols/quic/connection.ts';
import type { QuicClosed } from '../../protocols/quic/closed.ts';
import { type QuicAddr, quicAddr } from './address.ts';
import { CODE } from './codes.ts';
import { type MakeEndpoint, type Place, QuicDriver } from '../../quic/quic-driver.ts';
import { replacedIdleMs, surplusIdleMs } from '../../quic/idle-watch.ts';
import { ConnectionTable } from '../../sessions/connection-table.ts';
import type { Dial } from '../../sessions/dials.ts';
import { DropTrace } from '../../sessions/drop-trace.ts';
import { dialError, sessionError } from '../../quic/errors.ts';
import { keyOf } from '../../identity/quic-identity.ts';
import type { ResolvedOptions } from './options.ts';
import { PeerAdmission } from './peer-admission.ts';
import { Session } from './session.ts';
import type { SessionHooks } from './session-hooks.ts';
import type { SwarmMemory } from './swarm-memory.ts';

/** Messages that have begun continue, so up to so many times `maxSwarmBytes` may be held; beyond it the largest holder is closed. */
const HARD_TIMES = 3;

type SessionDial<I extends Addr> = Dial<QuicAddr<I>, Session<I>, QuicConnection>;

export class QuicSessions<I extends Addr> implements PeerSessions<QuicAddr<I>> {
  /** The session to send on, for each peer that has one. */
  readonly inUse: ReadonlyMap<PeerId, Session<I>>;
  readonly #realm: Realm;
  readonly #id: PeerId;
  readonly #inner: Swarm<I>;
  readonly #options: ResolvedOptions<I>;
  readonly #swarm: SessionsHooks<QuicAddr<I>>;
  readonly #counters: CounterSet;
  readonly #drops: DropTrace;
  readonly #driver: QuicDriver<I>;
  readonly #hooks: SessionHooks<Session<I>>;
  readonly #table: ConnectionTable<Session<I>, QuicAddr<I>, QuicConnection, PublicKey>;
  /** Sessions by their connections. Bounded by `maxConnections` and what is dialled. */
  readonly #sessions = new Map<QuicConnection, Session<I>>();
  readonly #admission: PeerAdmission<I>;
  readonly #memory: SwarmMemory;
  /** Whether sessions that wait for room are to be looked at in a later turn. */
  #waking = false;

  constructor(
    inner: Swarm<I>,
    options: ResolvedOptions<I>,
    swarm: SessionsHooks<QuicAddr<I>>,
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    this.#realm = realm;
    this.#id = options.id;
    this.#inner = inner;
    this.#options = options;
    this.#counters = swarm.counters;
    this.#drops = new DropTrace(realm, 'quic');
    this.#swarm = swarm;
    this.#memory = {
      held: 0,
      pending: 0,
      maxBytes: Math.max(options.maxSwarmBytes, options.maxMessageBytes),
      onRoom: () => {
        if (this.#waking) return;
        this.#waking = true;
        swarm.later(() => {
          this.#waking = false;
          this.unpark();
        });
      },
    };
    this.#admission = new PeerAdmission<I>({
      realm,
      accept: options.accept,
      peerIdOf: options.peerIdOf,
      expected: (connection) => this.#table.dials.of(connection)?.target.id,
      found: (connection, id) => void (this.#table.dials.of(connection)!.found = id),
      placeOf: (connection) => this.#driver.placeOf(connection)?.src,
      accepted: (connection) => this.#accepted(connection),
      refused: () => this.#counters.countDrop('quic.not_accepted'),
      fault: (addr, cause) => {
        this.#counters.countDrop('handler_error');
        this.#trace('handler_error', addr, 'accept', cause);
      },
      scheduleFlush: () => this.#driver.scheduleFlush(),
    });
    this.#table = new ConnectionTable<Session<I>, QuicAddr<I>, QuicConnection, PublicKey>({
      realm,
      own: options.id,
      expects: ({ id }) => id,
      remember: ({ publicKey }) => publicKey,
      replaced: replacedIdleMs,
      surplusIdleMs,
      close: (session, why) => {
        const tooMany = why === 'too_many';
        if (tooMany) this.#counters.countDrop('quic.too_many');
        this.#close(session, tooMany ? 'too many connections' : 'another connection took its place');
      },
    });
    this.inUse = this.#table.inUse;
    this.#driver = new QuicDriver(
      inner,
      {
        judge: (judged) => this.#admission.judge(judged),
        handlerOf: (connection) => this.#sessions.get(connection),
        connected: (connection) => this.#connected(connection),
        closed: (connection, closed) => this.#ended(connection, closed),
        datagrams: (connection) => this.#sessions.get(connection)?.handleDatagrams(),
        received: () => this.#relieve(),
        turnedAway: (how, src) => this.#drop(`quic.${how}`, src),
        engineFailed: (failure) => this.#trace('engine_failed', undefined, failure.message, failure),
        keyLog: (line) => options.onKeyLog?.(line),
        other: (message) => this.#other(message),
        unreachable: (place, error) => this.#unreachable(place, error),
        failed: (bug) => swarm.failed(bug),
        later: swarm.later,
      },
      (hooks) => makeEndpoint({ ...hooks, heldElsewhere: () => this.#memory.held + this.#memory.pending }),
    );
    this.#hooks = this.#makeHooks();
  }

  /** The key of a peer that was met lately. */
  knownKey(id: PeerId): PublicKey | undefined {
    return this.#table.recall(id);
  }

  /** Whether every peer has acknowledged every tell. */
  get acknowledged(): boolean {
    for (const session of this.#sessions.values()) if (session.unacknowledged > 0) return false;
    return true;
  }

  /**
   * Sends a PING after what is not acknowledged: a packet that comes alone is acknowledged after 25 ms, a second one at
   * once (RFC 9000 §13.2).
   */
  requestAcknowledgements(): void {
    // In a turn of its own, or both would travel in one packet.
    this.#swarm.later(() => {
      for (const session of this.#sessions.values()) if (session.unacknowledged > 0) session.connection.ping();
      this.#driver.scheduleFlush();
    });
  }

  /** How full it is, for `inspect`. */
  get state(): Readonly<Record<string, number>> {
    return {
      sessions: this.#table.peers,
      connections: this.#table.size,
      dials: this.#table.dials.size,
      heldBytes: this.#memory.held + this.#memory.pending,
      windowBytes: this.#driver.grantedBytes,
      engineBytes: this.#driver.engineBytes,
    };
  }

  /** A handler has come: read what was left unread. */
  unpark(): void {
    for (const session of this.#sessions.values()) session.unpark();
  }

  /** Ends all connections with a peer. */
  disconnect(peer: PeerId): boolean {
    const sessions = this.#table.retireAll(peer);
    for (const session of sessions) this.#close(session, 'disconnected');
    return sessions.length > 0;
  }

  /** Closes a connection. The engine tells of its end later; nothing new is sent on it until then. */
  #close(session: Session<I>, reason: string): void {
    this.#table.retire(session);
    session.connection.close(CODE.NONE, reason);
    this.#driver.scheduleFlush();
  }

  progress(peer: PeerId): number {
    return this.#table.all(peer).reduce((sum, { connection }) => sum + (connection.stats()?.receivedDatagrams ?? 0), 0);
  }

  /** Sends one CONNECTION_CLOSE to each peer; a peer that does not get it notices by its idle timeout. */
  close(): void {
    this.#admission.close();
    this.#driver.close(CODE.NONE, 'closed');
    this.#table.clear(this.#swarm.closedError('reach the peer')!);
    this.#sessions.clear();
  }

  /** Calls `use` with a session to the peer, dialling if there is none. Returns a function that cancels the wait. */
  withSession(dst: QuicAddr<I>, fail: (error: P2PError) => void, use: (session: Session<I>) => void): () => void {
    const session = this.#table.current(dst.id);
    if (session !== undefined) {
      use(session);
      return () => {};
    }
    const waiter = (result: Session<I> | P2PError): void => (result instanceof P2PError ? fail(result) : use(result));
    return this.#table.join(dst.text, dst.text, () => this.#dial(dst), waiter);
  }

  #dial(dst: QuicAddr<I>): SessionDial<I> | P2PError {
    const connection = this.#driver.dial(dst.inner, dst.text);
    return connection instanceof P2PError ? connection : this.#table.dials.add(dst.text, dst, connection);
  }

  #other(message: Message<I>): void {
    if (this.#options.onOther === undefined) this.#drop('quic.not_quic', message.src);
    else this.#options.onOther(message);
  }

  /** Ends the dials to an address that the swarm below cannot send to; sessions have other paths, or time out. */
  #unreachable({ src }: Place<I>, cause: unknown): void {
    for (const dial of this.#table.dials.values()) {
      if (dial.target.inner.text !== src.text) continue;
      dial.handle.close(CODE.NONE, '');
      const why = `Cannot reach ${dial.target.text}: the swarm below cannot send there`;
      this.#table.dials.settle(dial, new P2PError('unreachable', 'local', why, { sent: 'no', cause }));
    }
    this.#driver.scheduleFlush();
  }

  /** `accept` has said yes later. What the peer has sent meanwhile is read now. */
  #accepted(connection: QuicConnection): void {
    this.#driver.admit(connection);
    if (connection.state !== 'open') return;
    const session = this.#admit(connection);
    for (const stream of connection.streams) if (stream.opened === 'there') session.handleOpened(stream);
    session.handleDatagrams();
    this.#relieve();
  }

  /** Asks `accept` again about every peer, and ends what it refuses. */
  recheck(): Promise<void> {
    return this.#admission.recheck(this.#table.values());
  }

  /** Ends the session that holds most of unfinished messages, where all together hold far too much. */
  #relieve(): void {
    const { held, pending, maxBytes } = this.#memory;
    if (held + pending < HARD_TIMES * maxBytes) return;
    let most: Session<I> | undefined;
    for (const session of this.#sessions.values()) if (session.held > (most?.held ?? 0)) most = session;
    if (most !== undefined) this.#close(most, 'holds too much memory');
    this.#counters.countDrop('quic.displaced');
  }

  #connected(connection: QuicConnection): void {
    if (!this.#admission.isPending(connection)) this.#admit(connection);
  }

  /** The handshake is over, and the peer is accepted. */
  #admit(connection: QuicConnection): Session<I> {
    const key = keyOf(connection.peerChain[0]!)!;
    const id = this.#options.peerIdOf(key);
    const { src } = this.#driver.placeOf(connection)!;
    const host = ipOf(src) ?? src.text;
    const session = new Session<I>(this.#hooks, connection, { id, publicKey: key, host }, this.#realm.nowMs());
    this.#sessions.set(connection, session);
    this.#trace('session', quicAddr(id, src), connection.side);
    this.#table.add(session, connection);
    return session;
  }

  #ended(connection: QuicConnection, closed: QuicClosed): void {
    const session = this.#sessions.get(connection);
    const dial = this.#table.dials.take(connection);
    this.#admission.forget(connection);
    connection.forget();
    if (dial !== undefined) {
      const error = this.#admission.isRefused(connection)
        ? new P2PError('refused', 'local', `Cannot reach ${dial.target.text}: accept refused it`, { sent: 'no' })
        : dialError(dial.target, closed, dial.found);
      this.#trace('handshake_failed', dial.target, error.code, error);
      this.#table.dials.settle(dial, error);
    } else if (session === undefined) {
      this.#counters.countDrop('quic.handshake_failed');
      const reason = this.#admission.isRefused(connection) ? 'not_accepted' : closed.by;
      const src = this.#driver.placeOf(connection)?.src;
      this.#drops.note('handshake_failed', src, reason, { side: 'initiator', cause: closed.reason });
    }
    if (session === undefined) return;
    this.#sessions.delete(connection);
    this.#table.remove(session);
    if (this.#table.all(session.peer).length === 0) this.#swarm.disconnected(session.peer, closed.by);
    session.handleClosed(
      (sent) =>
        this.#swarm.closedError(`reach ${session.peer}`) ?? sessionError(session.peer, closed, sent, CODE.NOT_ACCEPTED),
    );
  }

  /** Building addresses for each message costs more than all else here, so the last ones of a session are kept. */
  #messageOf(session: Session<I>, payload: Bytes): Message<QuicAddr<I>> {
    const place = this.#driver.placeOf(session.connection)!;
    const local = place.dst ?? this.#inner.addr;
    if (session.ends?.src.inner !== place.src || session.ends.dst.inner !== local) {
      session.ends = { src: quicAddr(session.peer, place.src), dst: quicAddr(this.#id, local) };
    }
    return { ...session.ends, payload };
  }

  #makeHooks(): SessionHooks<Session<I>> {
    const swarm = this.#swarm;
    return {
      maxMessageBytes: this.#options.maxMessageBytes,
      datagramTells: this.#options.datagramTells,
      pending: this.#options.pending,
      memory: this.#memory,
      get listening() {
        return swarm.listening;
      },
      deliver: (session, payload) => swarm.deliver(this.#messageOf(session, payload), session.tellBudget),
      serve: (session, request) => swarm.serve(this.#messageOf(session, request), session.askBudget),
      count: (session, drop) => this.#drop(drop, this.#addrOf(session)),
      countSent: this.#counters.countSent.bind(this.#counters),
      scheduleFlush: this.#driver.scheduleFlush,
      settled: () => swarm.settled(),
      nowMs: () => this.#realm.nowMs(),
    };
  }

  #addrOf(session: Session<I>): QuicAddr<I> {
    const { peer, connection } = session;
    return session.ends?.src ?? quicAddr(peer, this.#driver.placeOf(connection)!.src);
  }

  #drop(reason: DropReason, addr: Addr | undefined): void {
    this.#counters.countDrop(reason);
    this.#drops.note('dropped', addr, reason);
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#realm.trace?.({ layer: 'quic', type, atMs: this.#realm.nowMs(), addr, reason, cause });
  }
}
