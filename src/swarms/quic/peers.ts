/** The connections of a QUIC swarm: who is dialled, who is let in, which one to send on. */

import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../core/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { type Message } from '../../core/message.ts';
import { comparePeerIds, type PeerId } from '../../core/peer-id.ts';
import { type Realm, type Timer } from '../../core/realm.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type Swarm } from '../../core/swarm.ts';
import { Driver } from '../../drive/driver.ts';
import { clockOf } from '../../drive/system-realm.ts';
import { type Serving } from '../../kit/ask-slot.ts';
import { type CounterSet } from '../../kit/counter-set.ts';
import { type PendingBudget } from '../../kit/pending-budget.ts';
import { AddressTable } from '../../protocols/quic/address-table.ts';
import { isQuicDatagram } from '../../protocols/quic/classify.ts';
import { type QuicConnection } from '../../protocols/quic/connection.ts';
import { type QuicEndpoint } from '../../protocols/quic/endpoint.ts';
import { ALERT, type Judge, type Judged } from '../../protocols/quic/endpoint-options.ts';
import { type InboundDatagram, type OutboundDatagrams } from '../../protocols/quic/engine.ts';
import { type QuicClosed, type QuicEvent } from '../../protocols/quic/events.ts';
import { type QuicAddr, quicAddr } from './address.ts';
import { CODE } from './codes.ts';
import { dialError, sessionError } from './errors.ts';
import { keyOf } from './identity.ts';
import { type ResolvedOptions } from './options.ts';
import { SessionTable } from './session-table.ts';
import { Session, type SessionHost } from './session.ts';

/** Two connections between the same peers that begin within this time were dialled at once: both sides keep the same one. */
const SIMULTANEOUS_MS = 5000;
/**
 * How long a connection that was replaced stays open after the last message on it. The peer cannot say that it has nothing
 * on the way, and sends what was lost again at growing intervals; after as long as the usual idle timeout (RFC 9000 §10.1
 * leaves the number to us) it would itself have given up.
 */
const QUIET_MS = 30_000;
/** Keys of peers without a session that are remembered; the longest unused is forgotten. */
const MAX_KNOWN_KEYS = 4096;
/** Calls that wait for one dial. More fail at once, so that a dead address gathers no heap of messages. */
const MAX_DIAL_WAITERS = 4096;

/** An address of the swarm below, and ours to which its last datagram came. */
interface Place<I extends Addr> {
  readonly src: I;
  dst: I | undefined;
}

/** A connection that is being made, and who waits for it. */
interface Dial<I extends Addr> {
  readonly id: PeerId;
  readonly inner: I;
  readonly connection: QuicConnection;
  readonly waiters: Set<(result: Session<I> | P2PError) => void>;
  /** Who answered instead, if it was another. */
  found: PeerId | undefined;
}

/** What the swarm does with what comes. */
export interface PeersUser<I extends Addr> {
  /** Whether somebody listens. */
  readonly listening: boolean;
  deliver(message: Message<QuicAddr<I>>, budget: PendingBudget): void;
  serve(message: Message<QuicAddr<I>>, budget: PendingBudget): Serving;
  /** Something was acknowledged, or is lost. */
  settled(): void;
  /** The swarm's `closed` error for something attempted, once it is closed. */
  closedError(what: string): P2PError | undefined;
  failed(bug: Error): void;
  /** Runs in a later turn, unless the swarm has closed by then. */
  later(act: () => void): void;
}

/** Makes the endpoint for a judge, with a table to tell which addresses it uses. */
export type MakeEndpoint = (judge: Judge, addresses: AddressTable<unknown>) => QuicEndpoint;

export class Peers<I extends Addr> {
  readonly #realm: Realm;
  readonly #id: PeerId;
  readonly #inner: Swarm<I>;
  readonly #options: ResolvedOptions<I>;
  readonly #user: PeersUser<I>;
  readonly #counters: CounterSet;
  readonly #endpoint: QuicEndpoint;
  readonly #driver: Driver<OutboundDatagrams, QuicEvent>;
  readonly #listening: Disposable;
  readonly #host: SessionHost<I>;
  readonly #places = new AddressTable<Place<I>>();
  readonly #sessions = new SessionTable<I>();
  /** By address text. Bounded by `maxConnections` and the handshake timeout. */
  readonly #dials = new Map<string, Dial<I>>();
  readonly #dialsByConnection = new Map<QuicConnection, Dial<I>>();
  /** Bounded by `MAX_KNOWN_KEYS`. */
  readonly #known = new Map<PeerId, PublicKey>();
  /** Bounded by connections that were replaced. */
  readonly #retiring = new Set<Timer>();
  /** Datagrams of this turn. Bounded by what the swarm below delivers in a turn. */
  #inbox: InboundDatagram[] = [];
  #kicked = false;

  constructor(
    inner: Swarm<I>,
    options: ResolvedOptions<I>,
    counters: CounterSet,
    user: PeersUser<I>,
    makeEndpoint: MakeEndpoint,
  ) {
    const { realm } = inner;
    this.#realm = realm;
    this.#id = options.id;
    this.#inner = inner;
    this.#options = options;
    this.#counters = counters;
    this.#user = user;
    this.#host = this.#makeHost();
    this.#endpoint = makeEndpoint((judged) => this.#judge(judged), this.#places);
    this.#driver = new Driver(this.#endpoint, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#event(event),
      failed: (bug) => user.failed(bug),
      background: true,
    });
    this.#listening = inner.listen((message) => this.#receive(message));
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

  /** How full it is, for `inspect`. */
  get state(): Readonly<Record<string, number>> {
    return {
      sessions: this.#sessions.peers,
      connections: this.#sessions.size,
      dials: this.#dials.size,
      engineBytes: this.#endpoint.gauges()?.memoryBytes ?? 0,
    };
  }

  /** A handler has come: read what was left unread. */
  unpark(): void {
    for (const session of this.#sessions.values()) session.unpark();
  }

  /** One CONNECTION_CLOSE to each peer; who does not get it learns from silence. */
  close(): void {
    this.#endpoint.close(this.#realm.nowMs(), CODE.NONE, 'closed');
    this.#driver.poll();
    this.#driver.stop();
    for (const timer of this.#retiring) timer.cancel();
    this.#listening[Symbol.dispose]();
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
    if (dial.waiters.size >= MAX_DIAL_WAITERS) {
      const what = `Cannot reach ${dst.text}: ${MAX_DIAL_WAITERS} calls wait for it already`;
      fail(new P2PError('limit_exceeded', 'local', what, { sent: 'no' }));
      return () => {};
    }
    const waiter = (result: Session<I> | P2PError): void => (result instanceof P2PError ? fail(result) : use(result));
    dial.waiters.add(waiter);
    return () => dial.waiters.delete(waiter);
  }

  #dial(dst: QuicAddr<I>): Dial<I> | P2PError {
    const { inner, id } = dst;
    if (this.#inner.mtu(inner) < this.#options.minInnerMtu) {
      return new P2PError(
        'unsupported',
        'local',
        `Cannot reach ${dst.text}: the swarm below carries ${this.#inner.mtu(inner)} bytes, QUIC needs ${this.#options.minInnerMtu}; wrap it in frag()`,
        { sent: 'no' },
      );
    }
    const number = this.#places.numberOf(inner.text, () => ({ src: inner, dst: undefined }));
    const connection = this.#endpoint.connect(this.#realm.nowMs(), number);
    const dial: Dial<I> = { id, inner, connection, waiters: new Set(), found: undefined };
    this.#dials.set(dst.text, dial);
    this.#dialsByConnection.set(connection, dial);
    this.#kick();
    return dial;
  }

  #receive({ src, dst, payload }: Message<I>): void {
    if (!isQuicDatagram(payload)) {
      if (this.#options.onOther === undefined) this.#counters.countDrop('quic.not_quic');
      else this.#options.onOther({ src, dst, payload });
      return;
    }
    const number = this.#places.numberOf(src.text, () => ({ src, dst }));
    this.#places.get(number)!.dst = dst;
    this.#inbox.push({ address: number, bytes: payload });
    this.#kick();
  }

  /** Has everything that came or was asked for in this turn done together: one acknowledgement for many datagrams. */
  #kick(): void {
    if (this.#kicked) return;
    this.#kicked = true;
    this.#user.later(() => this.#turn());
  }

  #turn(): void {
    this.#kicked = false;
    const inbox = this.#inbox;
    this.#inbox = [];
    if (inbox.length > 0) this.#endpoint.handleDatagrams(this.#realm.nowMs(), inbox);
    this.#driver.poll();
  }

  #transmit({ address, bytes, segmentBytes }: OutboundDatagrams): void {
    const place = this.#places.get(address);
    if (place === undefined) return;
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      void this.#inner.tell(place.src, bytes.subarray(at, at + segmentBytes));
    }
  }

  #judge({ connection, chain }: Judged): number | undefined {
    const key = keyOf(chain[0]!);
    if (key === undefined) return ALERT.UNSUPPORTED_CERTIFICATE;
    const id = this.#options.peerIdOf(key);
    const dial = this.#dialsByConnection.get(connection);
    if (dial !== undefined && dial.id !== id) {
      dial.found = id;
      return ALERT.BAD_CERTIFICATE;
    }
    const place = this.#places.get(connection.address);
    if (place === undefined) return ALERT.ACCESS_DENIED;
    return this.#options.accept?.({ addr: quicAddr(id, place.src), publicKey: key }) === false
      ? ALERT.ACCESS_DENIED
      : undefined;
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
        return;
      case 'readable':
        this.#sessions.of(event.stream.connection)?.handleReadable(event.stream);
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
    const preferred = current === undefined || this.#prefers(session, current);
    this.#remember(id, key);
    const surplus = this.#sessions.add(session, preferred);
    this.#trace('session', this.#addrOf(session), connection.role);
    const dial = this.#dialsByConnection.get(connection);
    this.#forgetDial(connection);
    const chosen = preferred ? session : current;
    // Others may wait for the same peer at another of its addresses.
    for (const other of this.#dials.values()) if (other.id === id) this.#settleDial(other, chosen);
    if (dial !== undefined) this.#settleDial(dial, chosen);
    const replaced = preferred ? current : session;
    if (replaced?.connection.role === 'client') this.#retire(replaced);
    surplus?.connection.close(CODE.NONE, 'too many connections');
  }

  /**
   * Which of two connections with a peer to send on. Dialled at once from both sides: the one whose dialler has the
   * smaller PeerID, so that both sides choose the same. Otherwise the newer: whoever dials has none that works. A peer
   * that comes from elsewhere has not dialled at once: it was started again.
   */
  #prefers(session: Session<I>, current: Session<I>): boolean {
    const crossed =
      session.connection.role !== current.connection.role &&
      session.connection.address === current.connection.address &&
      session.sinceMs - current.sinceMs < SIMULTANEOUS_MS;
    if (!crossed) return true;
    const weAreSmaller = comparePeerIds(this.#id, session.peer) < 0;
    return weAreSmaller === (session.connection.role === 'client');
  }

  /**
   * Closes a connection that we dialled and that another has replaced, once nothing is under way on it and no message
   * has come for a while. Those that the peer has dialled are the peer's to close.
   */
  #retire(session: Session<I>): void {
    const { connection } = session;
    const frames = connection.stats()?.receivedStreamFrames;
    const timer = clockOf(this.#realm).setTimer(
      this.#realm.nowMs() + QUIET_MS,
      () => {
        this.#retiring.delete(timer);
        if (connection.state === 'closed' || this.#sessions.current(session.peer) === session) return;
        if (session.busy || connection.stats()?.receivedStreamFrames !== frames) this.#retire(session);
        else connection.close(CODE.NONE, 'another connection took its place');
        this.#driver.poll();
      },
      { background: true },
    );
    this.#retiring.add(timer);
  }

  #ended(connection: QuicConnection, closed: QuicClosed): void {
    const session = this.#sessions.of(connection);
    const dial = this.#dialsByConnection.get(connection);
    connection.forget();
    this.#forgetDial(connection);
    if (dial !== undefined) {
      const error = dialError(quicAddr(dial.id, dial.inner), closed, dial.found);
      this.#trace('handshake_failed', quicAddr(dial.id, dial.inner), error.code, error);
      this.#settleDial(dial, error);
    } else if (session === undefined) {
      this.#counters.countDrop('quic.handshake_failed');
    }
    if (session === undefined) return;
    this.#sessions.remove(session);
    session.handleClosed(
      (sent) => this.#user.closedError(`reach ${session.peer}`) ?? sessionError(session.peer, closed, sent),
    );
  }

  #forgetDial(connection: QuicConnection): void {
    const dial = this.#dialsByConnection.get(connection);
    if (dial === undefined) return;
    this.#dialsByConnection.delete(connection);
    const { text } = quicAddr(dial.id, dial.inner);
    if (this.#dials.get(text) === dial) this.#dials.delete(text);
  }

  #settleDial(dial: Dial<I>, result: Session<I> | P2PError): void {
    const waiters = [...dial.waiters];
    dial.waiters.clear();
    for (const waiter of waiters) waiter(result);
  }

  #remember(id: PeerId, key: PublicKey): void {
    this.#known.delete(id);
    this.#known.set(id, key);
    if (this.#known.size > MAX_KNOWN_KEYS) this.#known.delete(this.#known.keys().next().value!);
  }

  #addrOf(session: Session<I>): QuicAddr<I> {
    return quicAddr(session.peer, this.#places.get(session.connection.address)!.src);
  }

  /** Building addresses for each message costs more than all else here, so the last ones of a session are kept. */
  #messageOf(session: Session<I>, payload: Bytes): Message<QuicAddr<I>> {
    const place = this.#places.get(session.connection.address)!;
    const local = place.dst ?? this.#inner.localAddrs()[0]!;
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
      get listening() {
        return user.listening;
      },
      deliver: (session, payload) => user.deliver(this.#messageOf(session, payload), session.tellBudget),
      serve: (session, request) => user.serve(this.#messageOf(session, request), session.askBudget),
      count: (drop) => this.#counters.countDrop(drop),
      countSent: (bytes) => this.#counters.countSent(bytes),
      kick: () => this.#kick(),
      settled: () => user.settled(),
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    this.#realm.trace?.({ layer: 'quic', type, atMs: this.#realm.nowMs(), addr, reason, cause });
  }
}
