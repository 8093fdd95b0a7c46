/** The connections of a QUIC swarm: who is dialled, who is let in, which one to send on. */

import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { askFilter } from '../../core/filter.ts';
import { type Message } from '../../core/message.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type Realm } from '../../core/realm.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type Swarm } from '../../core/swarm.ts';
import { type CounterSet } from '../../swarm-kit/counter-set.ts';
import { type PeerSessions, type SessionsUser } from '../../sessions/session-swarm.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { ALERT, type Judged } from '../../protocols/quic/endpoint-options.ts';
import { type QuicClosed, type QuicEvent } from '../../protocols/quic/events.ts';
import { type QuicAddr, quicAddr } from './address.ts';
import { CODE } from './codes.ts';
import { ConnectionTable } from '../../quic/connection-table.ts';
import { Connections, type MakeEndpoint, type Place } from '../../quic/connections.ts';
import { type Dial, DialTable } from '../../quic/dials.ts';
import { dialError, sessionError } from '../../quic/errors.ts';
import { keyOf } from '../../identity/quic-identity.ts';
import { type ResolvedOptions } from './options.ts';
import { prefersNew, Retirement } from '../../quic/rivalry.ts';
import { Session, type SessionHost } from './session.ts';
import { type SwarmMemory } from './swarm-memory.ts';

/** All that is held may be so many times `maxSwarmBytes`, since messages that have begun go on; then the largest holder ends. */
const HARD_TIMES = 3;
/** Connections of one peer at a time, those included that will be closed when they have been idle for a while. */
const MAX_CONNECTIONS_AT_ONCE = 128;
/** Keys of peers without a session that are remembered; the longest unused is forgotten. */
const MAX_KNOWN_KEYS = 4096;

export class Peers<I extends Addr> implements PeerSessions<QuicAddr<I>> {
  readonly #realm: Realm;
  readonly #id: PeerId;
  readonly #inner: Swarm<I>;
  readonly #options: ResolvedOptions<I>;
  readonly #user: SessionsUser<QuicAddr<I>>;
  readonly #counters: CounterSet;
  readonly #connections: Connections<I>;
  readonly #host: SessionHost<I>;
  readonly #sessions = new ConnectionTable<PeerId, Session<I>>();
  readonly #dials = new DialTable<QuicAddr<I>, Session<I>>();
  readonly #retirement: Retirement<Session<I>>;
  readonly #memory: SwarmMemory;
  /** Sessions that wait for room look again in a later turn. */
  #waking = false;
  /** Bounded by `MAX_KNOWN_KEYS`. */
  readonly #known = new Map<PeerId, PublicKey>();

  constructor(
    inner: Swarm<I>,
    options: ResolvedOptions<I>,
    user: SessionsUser<QuicAddr<I>>,
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    this.#realm = realm;
    this.#id = options.id;
    this.#inner = inner;
    this.#options = options;
    this.#counters = user.counters;
    this.#user = user;
    this.#memory = {
      held: 0,
      pending: 0,
      maxBytes: Math.max(options.maxSwarmBytes, options.maxMessageBytes),
      onRoom: () => {
        if (this.#waking) return;
        this.#waking = true;
        user.later(() => {
          this.#waking = false;
          this.unpark();
        });
      },
    };
    this.#host = this.#makeHost();
    this.#retirement = new Retirement({
      realm,
      inUse: (session) => this.#sessions.current(session.peer) === session,
      close: ({ connection }) => connection.close(CODE.NONE, 'another connection took its place'),
      poll: () => this.#connections.poll(),
    });
    this.#connections = new Connections(
      inner,
      {
        judge: (judged) => this.#judge(judged),
        event: (event) => this.#event(event),
        other: (message) => this.#other(message),
        unreachable: (place, error) => this.#unreachable(place, error),
        failed: (bug) => user.failed(bug),
        later: (act) => user.later(act),
      },
      (hooks) => makeEndpoint({ ...hooks, heldElsewhere: () => this.#memory.held + this.#memory.pending }),
    );
  }

  /** The session to send on, if there is one. */
  session(id: PeerId): Session<I> | undefined {
    return this.#sessions.current(id);
  }

  /** The key of a peer that was met lately. */
  knownKey(id: PeerId): PublicKey | undefined {
    return this.#sessions.current(id)?.publicKey ?? this.#known.get(id);
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
    this.#user.later(() => {
      for (const session of this.#sessions.values()) if (session.unacknowledged > 0) session.connection.ping();
      this.#connections.kick();
    });
  }

  /** How full it is, for `inspect`. */
  get state(): Readonly<Record<string, number>> {
    return {
      sessions: this.#sessions.keys,
      connections: this.#sessions.size,
      dials: this.#dials.size,
      heldBytes: this.#memory.held + this.#memory.pending,
      windowBytes: this.#connections.grantedBytes,
      engineBytes: this.#connections.engineBytes,
    };
  }

  /** A handler has come: read what was left unread. */
  unpark(): void {
    for (const session of this.#sessions.values()) session.unpark();
  }

  /** One CONNECTION_CLOSE to each peer; who does not get it learns from silence. */
  close(): void {
    this.#connections.close(CODE.NONE, 'closed');
    this.#retirement.stop();
  }

  /** Calls `use` with a session to the peer, dialling if there is none. Answers what gives up waiting. */
  withSession(dst: QuicAddr<I>, fail: (error: P2PError) => void, use: (session: Session<I>) => void): () => void {
    const session = this.#sessions.current(dst.id);
    if (session !== undefined) {
      use(session);
      return () => {};
    }
    const dial = this.#dials.get(dst.text) ?? this.#dial(dst);
    if (dial instanceof P2PError) {
      fail(dial);
      return () => {};
    }
    return this.#dials.join(dial, dst.text, (result) => (result instanceof P2PError ? fail(result) : use(result)));
  }

  #dial(dst: QuicAddr<I>): Dial<QuicAddr<I>, Session<I>> | P2PError {
    const connection = this.#connections.dial(dst.inner, dst.text);
    return connection instanceof P2PError ? connection : this.#dials.add(dst.text, dst, connection);
  }

  #other(message: Message<I>): void {
    if (this.#options.onOther === undefined) this.#counters.countDrop('quic.not_quic');
    else this.#options.onOther(message);
  }

  /** Ends the dials to an address that the swarm below cannot send to; sessions have other paths, or time out. */
  #unreachable({ src }: Place<I>, cause: unknown): void {
    for (const dial of this.#dials.values()) {
      if (dial.target.inner.text !== src.text) continue;
      dial.connection.close(CODE.NONE, '');
      const why = `Cannot reach ${dial.target.text}: the swarm below cannot send there`;
      this.#dials.settle(dial, new P2PError('unreachable', 'local', why, { sent: 'no', cause }));
    }
    this.#connections.kick();
  }

  #judge({ connection, chain }: Judged): number | undefined {
    const key = keyOf(chain[0]!);
    if (key === undefined) return ALERT.UNSUPPORTED_CERTIFICATE;
    const id = this.#options.peerIdOf(key);
    const dial = this.#dials.of(connection);
    if (dial !== undefined && dial.target.id !== id) {
      dial.found = id;
      return ALERT.BAD_CERTIFICATE;
    }
    const place = this.#connections.placeOf(connection);
    if (place === undefined) return ALERT.ACCESS_DENIED;
    const { accept } = this.#options;
    if (accept === undefined) return undefined;
    const addr = quicAddr(id, place.src);
    const answer = askFilter(() => accept({ addr, publicKey: key }));
    if (answer === true) return undefined;
    this.#counters.countDrop('quic.not_accepted');
    if (answer !== false) this.#trace('refused', addr, 'not_accepted', answer);
    return ALERT.ACCESS_DENIED;
  }

  /** Ends the session that holds most of unfinished messages, where all together hold far too much. */
  #relieve(): void {
    const { held, pending, maxBytes } = this.#memory;
    if (held + pending < HARD_TIMES * maxBytes) return;
    let most: Session<I> | undefined;
    for (const session of this.#sessions.values()) if (session.held > (most?.held ?? 0)) most = session;
    most?.connection.close(CODE.NONE, 'holds too much memory');
    this.#counters.countDrop('quic.displaced');
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
        this.#sessions.of(event.stream.connection)?.handleOpened(event.stream);
        this.#relieve();
        return;
      case 'readable':
        this.#sessions.of(event.stream.connection)?.handleReadable(event.stream);
        this.#relieve();
        return;
      case 'writable':
        this.#sessions.of(event.stream.connection)?.handleWritable(event.stream);
        return;
      case 'acknowledged':
        this.#sessions.of(event.stream.connection)?.handleAcknowledged(event.stream);
        return;
      case 'stopped':
        this.#sessions.of(event.stream.connection)?.handleStopped(event.stream);
        return;
      case 'streams_available':
        this.#sessions.of(event.connection)?.flush();
        return;
      case 'turned_away':
        this.#counters.countDrop(`quic.${event.how}`);
        return;
      case 'engine_failed':
        this.#trace('engine_failed', undefined, event.failure.message, event.failure);
        return;
      case 'key_log':
        this.#options.onKeyLog?.(event.line);
        return;
      case 'datagrams':
        this.#sessions.of(event.connection)?.handleDatagrams();
        return;
      case 'negotiated':
      case 'datagrams_writable':
      case 'path_changed':
      case 'mtu_changed':
        return;
    }
  }

  #connected(connection: QuicConnection): void {
    const key = keyOf(connection.peerChain[0]!)!;
    const id = this.#options.peerIdOf(key);
    const session = new Session(this.#host, connection, { id, publicKey: key }, this.#realm.nowMs());
    const current = this.#sessions.current(id);
    const preferred = current === undefined || prefersNew(this.#id, session, current);
    this.#remember(id, key);
    const surplus = this.#sessions.add(id, session, preferred);
    this.#trace('session', this.#addrOf(session), connection.role);
    const dial = this.#dials.take(connection);
    const chosen = preferred ? session : current;
    // Others may wait for the same peer at another of its addresses.
    for (const other of this.#dials.values()) if (other.target.id === id) this.#dials.settle(other, chosen);
    if (dial !== undefined) this.#dials.settle(dial, chosen);
    const replaced = preferred ? current : session;
    if (replaced !== undefined) this.#retirement.retire(replaced);
    if (surplus !== undefined) this.#retirement.retireSurplus(surplus);
    this.#bound(id, session);
  }

  /** Closes one of more connections than a peer may have: the oldest on which nothing is under way, or else the new one. */
  #bound(id: PeerId, fresh: Session<I>): void {
    const all = this.#sessions.all(id);
    if (all.length <= MAX_CONNECTIONS_AT_ONCE) return;
    const idle = all.findLast((session) => session !== all[0] && !session.busy);
    (idle ?? fresh).connection.close(CODE.NONE, 'too many connections');
    this.#counters.countDrop('quic.too_many');
  }

  #ended(connection: QuicConnection, closed: QuicClosed): void {
    const session = this.#sessions.of(connection);
    const dial = this.#dials.take(connection);
    connection.forget();
    if (dial !== undefined) {
      const error = dialError(dial.target, closed, dial.found);
      this.#trace('handshake_failed', dial.target, error.code, error);
      this.#dials.settle(dial, error);
    } else if (session === undefined) {
      this.#counters.countDrop('quic.handshake_failed');
    }
    if (session === undefined) return;
    this.#sessions.remove(connection);
    session.handleClosed(
      (sent) => this.#user.closedError(`reach ${session.peer}`) ?? sessionError(session.peer, closed, sent),
    );
  }

  #remember(id: PeerId, key: PublicKey): void {
    this.#known.delete(id);
    this.#known.set(id, key);
    if (this.#known.size > MAX_KNOWN_KEYS) this.#known.delete(this.#known.keys().next().value!);
  }

  #addrOf(session: Session<I>): QuicAddr<I> {
    return quicAddr(session.peer, this.#connections.placeOf(session.connection)!.src);
  }

  /** Building addresses for each message costs more than all else here, so the last ones of a session are kept. */
  #messageOf(session: Session<I>, payload: Bytes): Message<QuicAddr<I>> {
    const place = this.#connections.placeOf(session.connection)!;
    const local = place.dst ?? this.#inner.addr;
    if (session.ends?.src.inner !== place.src || session.ends.dst.inner !== local) {
      session.ends = { src: quicAddr(session.peer, place.src), dst: quicAddr(this.#id, local) };
    }
    return { ...session.ends, payload };
  }

  #makeHost(): SessionHost<I> {
    const user = this.#user;
    return {
      maxMessageBytes: this.#options.maxMessageBytes,
      datagramTells: this.#options.datagramTells,
      pending: this.#options.pending,
      memory: this.#memory,
      get listening() {
        return user.listening;
      },
      deliver: (session, payload) => user.deliver(this.#messageOf(session, payload), session.tellBudget),
      serve: (session, request) => user.serve(this.#messageOf(session, request), session.askBudget),
      count: (drop) => this.#counters.countDrop(drop),
      countSent: (bytes) => this.#counters.countSent(bytes),
      kick: () => this.#connections.kick(),
      settled: () => user.settled(),
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#realm.trace?.({ layer: 'quic', type, atMs: this.#realm.nowMs(), addr, reason, cause });
  }
}
