/**
 * A QUIC endpoint as a sans-IO machine: datagrams in, datagrams and events out; it dials and listens on one address.
 *
 * The wire is RFC 9000, 9001, 9002, 9221 and 8899; docs/wire/quic.md has what shoal adds. The engine below does the
 * protocol. This file keeps the connections as objects, decides about attempts, and replaces an engine that breaks.
 */

import type { Side } from '../../core/accept.ts';
import { copyBytes } from '../../base/bytes.ts';
import { assertFunction, describeValue, wholeNumber } from '../../base/checks.ts';
import { sourceOf } from '../../base/source-shares.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Arrivals, type Incoming, isVerdict, resolveAdmission, type Verdict } from './admission.ts';
import { type ConnectionOwner, QuicConnection } from './connection.ts';
import { decodeEvents, type EventTarget } from './decode-events.ts';
import { checkConnect, type ConnectOptions, type QuicEndpointOptions } from './endpoint-options.ts';
import { EngineFailure, type EngineGauges, type InboundDatagram, type OutboundDatagrams } from './engine.ts';
import { Engines, type Instance } from './engines.ts';
import type { QuicClosed } from './closed.ts';
import type { QuicEvent } from './events.ts';
import { HandshakeDeadlines } from './handshake-deadlines.ts';
import { PeerJudge } from './peer-judge.ts';
import { Relief } from './relief.ts';
import { type EngineSettings, limitsOf, resolveSettings, settingsFor } from './settings.ts';
import { WindowBudget, Windows } from './window-budget.ts';

/** Bytes of a reset key that we draw ourselves: one HMAC-SHA-256 block. */
const RESET_KEY_BYTES = 64;

/** Windows beyond the first ones that all connections may have together. */
const WINDOW_BUDGET_BYTES = 48 * 2 ** 20;
/** Unfinished incoming handshakes up to which connections get a window in their handshake and not only after it. */
const EAGER_HANDSHAKES = 16;

/** A QUIC endpoint. Its methods must not be called from within its hooks. */
export class QuicEndpoint implements Machine<OutboundDatagrams, QuicEvent> {
  readonly #options: QuicEndpointOptions;
  readonly #settings: EngineSettings;
  readonly #owner: ConnectionOwner;
  readonly #engines: Engines;
  readonly #target: EventTarget;
  readonly #windows: WindowBudget;
  readonly #relief: Relief;
  /** Connections by their windows: which one to tell the engine of when a window changes. */
  readonly #byWindows = new WeakMap<Windows, QuicConnection>();
  /** Connections whose peers have no credit yet, where the settings say so. */
  readonly #held = new WeakSet<QuicConnection>();
  #now: Millis;
  readonly #arrivals: Arrivals;
  readonly #deadlines: HandshakeDeadlines;
  readonly #judge: PeerJudge;
  /** Attempts and ends that the engine has told of, until `#takeEvents` is done with them. Bounded as events are. */
  readonly #incoming: Incoming[] = [];
  readonly #drained: QuicConnection[] = [];
  /** Bounded by what one batch of datagrams causes: all are taken before the next input. */
  #events: QuicEvent[] = [];
  #nextEvent = 0;
  #transmits: readonly OutboundDatagrams[] = [];
  #nextTransmit = 0;
  #closing = false;

  /**
   * @throws {TypeError | RangeError} for settings out of bounds, and for a certificate or key that TLS cannot use.
   */
  constructor(options: QuicEndpointOptions, now: Millis) {
    assertFunction(options.engines, 'engines');
    assertFunction(options.random, 'random');
    assertFunction(options.judge, 'judge');
    this.#options = options;
    this.#arrivals = new Arrivals(resolveAdmission(options), options.hostOf);
    const { handshakeTimeoutMs } = options;
    this.#deadlines = new HandshakeDeadlines(wholeNumber(handshakeTimeoutMs, 'handshakeTimeoutMs', 10_000, 0, 2 ** 31));
    this.#judge = new PeerJudge(options.judge);
    // A key of our own, so that an engine that replaces a broken one can reset the connections of that one.
    const resetKey = options.resetKey ?? copyBytes(options.random(RESET_KEY_BYTES));
    this.#settings = resolveSettings({ ...options, resetKey });
    this.#now = now;
    this.#owner = {
      now: () => this.#now,
      read: (windows, bytes) => this.#windows.handleRead(windows, bytes, this.#now),
      ended: (connection, closed) => this.#emit({ type: 'closed', connection, closed }),
    };
    const { heldElsewhere = () => 0 } = options;
    const budget = wholeNumber(options.windowBudgetBytes, 'windowBudgetBytes', WINDOW_BUDGET_BYTES, 0, 2 ** 40);
    this.#windows = new WindowBudget(budget, heldElsewhere, (windows) => this.#setWindows(windows));
    this.#target = {
      emit: (event) => this.#emit(event),
      end: (connection, closed) => this.#end(connection, closed),
      moved: (to, from) => {
        options.addresses?.retain(to);
        options.addresses?.release(from);
      },
      incoming: (attempt) => void this.#incoming.push(attempt),
      drained: (connection) => void this.#drained.push(connection),
    };
    this.#engines = new Engines({
      make: (mark, host) =>
        options.engines({ random: options.random, ...host }, settingsFor(this.#settings, mark), this.#now),
      judge: (connection, chain) => this.#judge.judge(connection, chain),
      lost: (instance, failure) => this.#loseEngine(instance, failure),
    });
    this.#relief = new Relief(this.#engines, this.#windows, budget);
  }

  /** Connections that are not drained yet, closing ones included. */
  get connections(): Iterable<QuicConnection> {
    return this.#engines.all.flatMap(({ connections }) => [...connections.values()]);
  }

  /** Windows beyond the first ones, granted to connections, in bytes. */
  get grantedBytes(): number {
    return this.#windows.granted;
  }

  /** Whether nothing is left to send or to wait for after `close`. */
  get drained(): boolean {
    return this.#closing && this.#engines.connections === 0;
  }

  /** What all engines hold together. */
  gauges(): EngineGauges | undefined {
    return this.#engines.gauges();
  }

  /** Takes datagrams; what is wrong with them is dropped. Sort out others with `isQuicDatagram` first. */
  handleDatagrams(now: Millis, datagrams: readonly InboundDatagram[]): void {
    this.#advance(now);
    this.#engines.receive(this.#now, datagrams);
    this.#takeEvents();
  }

  handleTimeout(now: Millis): void {
    this.#advance(now);
    for (const { engine } of this.#engines.all) engine.handleTimeout(this.#now);
    this.#takeEvents();
    this.#giveUpHandshakes();
  }

  poll(): Output<OutboundDatagrams, QuicEvent> {
    for (;;) {
      const event = this.#events[this.#nextEvent];
      if (event !== undefined) {
        this.#nextEvent++;
        return { type: 'event', event };
      }
      if (this.#nextEvent > 0) {
        this.#events = [];
        this.#nextEvent = 0;
      }
      const transmit = this.#transmits[this.#nextTransmit];
      if (transmit !== undefined) {
        this.#nextTransmit++;
        return { type: 'transmit', transmit };
      }
      const { all } = this.#engines;
      this.#transmits =
        all.length === 1 ? all[0]!.engine.poll(this.#now) : all.flatMap(({ engine }) => engine.poll(this.#now));
      this.#nextTransmit = 0;
      this.#takeEvents();
      if (this.#transmits.length > 0 || this.#events.length > 0) continue;
      this.#engines.tidy();
      this.#relief.look(this.#now, (connection) => {
        this.#emit({ type: 'turned_away', address: connection.address, how: 'displaced' });
        connection.close(this.#options.displacedCode ?? 0, 'holds too much memory');
      });
      if (this.#events.length > 0) continue;
      return { type: 'wait', until: this.#nextTimeout() };
    }
  }

  /**
   * Dials. The connection is there at once, in its handshake; `connected` or `closed` follows.
   *
   * @param address - the peer's, by the caller's numbering: 0 to 2^32 - 1.
   * @throws {RangeError} for an address or names out of bounds.
   * @throws {Error} when the endpoint is closed, or has no room for another connection.
   */
  connect(now: Millis, address: number, options: ConnectOptions = {}): QuicConnection {
    this.#advance(now);
    checkConnect(address, options);
    const { serverName, alpn } = options;
    if (this.#closing) throw new Error('Cannot connect: the QUIC endpoint is closed');
    const windows = this.#beginWindows(address);
    const attempt = (): readonly [Instance, number] | undefined => {
      const instance = this.#engines.current;
      if (instance === undefined) return undefined;
      const handle = instance.engine.connect(this.#now, address, serverName, alpn, windows.receive);
      return this.#engines.all.includes(instance) ? [instance, handle] : undefined;
    };
    // Where the engine broke in this very call, a fresh one can do it.
    const [instance, handle = -1] = attempt() ?? attempt() ?? [];
    if (handle < 0) this.#windows.forget(windows);
    if (instance === undefined)
      throw this.#engines.failure ?? new EngineFailure('The QUIC engine fails again and again');
    if (handle < 0) {
      if (serverName !== undefined) {
        throw new RangeError(`Cannot take serverName: expected a DNS name or an IP, got ${describeValue(serverName)}`);
      }
      throw new Error(`Cannot connect: the QUIC engine has no room for another connection (answered ${handle})`);
    }
    const connection = this.#addConnection('responder', instance, handle, address, windows);
    if (serverName !== undefined) connection.handleNegotiated(undefined, serverName);
    return connection;
  }

  /** The judge's late yes to a connection that is pending. */
  admit(now: Millis, connection: QuicConnection): void {
    this.#advance(now);
    if (this.#judge.admit(connection) && connection.state === 'open') this.#grant(connection);
  }

  /** Closes every connection and takes no new ones. Poll on until `drained`, at most three round trips and a bit. */
  close(now: Millis, code = 0, reason = ''): void {
    this.#advance(now);
    this.#closing = true;
    for (const connection of this.connections) connection.close(code, reason);
  }

  #advance(now: Millis): void {
    if (now > this.#now) this.#now = now;
  }

  #emit(event: QuicEvent): void {
    if (event.type === 'connected') {
      this.#arrivals.connected(event.connection);
      if (!this.#judge.isPending(event.connection)) this.#grant(event.connection);
    }
    if (event.type === 'closed') {
      this.#arrivals.ended(event.connection);
      this.#windows.forget(event.connection.windows);
      this.#judge.forget(event.connection);
    }
    this.#events.push(event);
  }

  /** The peer is let in and the handshake is over: it gets streams, if it had none before, and its window. */
  #grant(connection: QuicConnection): void {
    const { windows, engine, handle } = connection;
    this.#held.delete(connection);
    this.#windows.open(windows, this.#now);
    if (!limitsOf(this.#settings).held) return;
    engine.grant(handle);
    this.#setWindows(windows);
  }

  #setWindows(windows: Windows): void {
    const connection = this.#byWindows.get(windows);
    // A peer that is not let in yet gets no window, whatever changes meanwhile.
    if (connection === undefined || this.#held.has(connection)) return;
    connection.engine.setWindows(connection.handle, windows.receive, windows.send);
  }

  /** An engine is no more, and its connections with it. The next call makes another. */
  #loseEngine({ connections }: Instance, failure: EngineFailure): void {
    const lost = [...connections.values()];
    connections.clear();
    this.#transmits = [];
    this.#nextTransmit = 0;
    for (const connection of lost) {
      this.#options.addresses?.release(connection.address);
      connection.handleClosed({
        by: 'engine_failure',
        code: 0,
        alert: undefined,
        reason: failure.message,
        cause: failure,
      });
    }
    this.#emit({ type: 'engine_failed', failure });
  }

  #nextTimeout(): Millis | undefined {
    let until = this.#deadlines.next();
    for (const { engine } of this.#engines.all) until = Math.min(until, engine.nextTimeout());
    return until === Infinity ? undefined : until;
  }

  #giveUpHandshakes(): void {
    for (let connection; (connection = this.#deadlines.expired(this.#now)) !== undefined;) {
      const reason = `no handshake within ${this.#deadlines.timeoutMs} ms`;
      connection.engine.close(this.#now, connection.handle, 0, new Uint8Array(0));
      this.#end(connection, { by: 'handshake_timeout', code: 0, alert: undefined, reason });
    }
  }

  #beginWindows(address: number): Windows {
    const { maxReceiveBytes, maxSendBytes } = limitsOf(this.#settings);
    const source = sourceOf(this.#options.hostOf?.(address) ?? String(address));
    const windows = new Windows(source, maxReceiveBytes, maxSendBytes);
    // Those who have not shown who they are do not use up what is there for others.
    if (this.#arrivals.handshakes < EAGER_HANDSHAKES) this.#windows.begin(windows, this.#now);
    return windows;
  }

  #addConnection(side: Side, instance: Instance, handle: number, address: number, windows: Windows): QuicConnection {
    const { mtuBytes } = limitsOf(this.#settings);
    const { engine } = instance;
    const connection = new QuicConnection({ side, handle, address, mtuBytes, engine, windows }, this.#owner);
    this.#byWindows.set(windows, connection);
    if (limitsOf(this.#settings).held) this.#held.add(connection);
    instance.connections.set(handle, connection);
    this.#options.addresses?.retain(address);
    if (side === 'initiator') this.#arrivals.begun(connection);
    this.#deadlines.begun(this.#now, connection);
    return connection;
  }

  /** A connection ends: tell it, once. */
  #end(connection: QuicConnection, closed: QuicClosed): void {
    const thrown = this.#judge.thrown(connection);
    connection.handleClosed(thrown === undefined ? closed : { ...closed, cause: thrown });
  }

  /** Takes what the engines have to tell. Attempts are decided about afterwards, when those that ended have made room. */
  #takeEvents(): void {
    for (const instance of this.#engines.all) {
      const { engine, connections } = instance;
      for (let batch; (batch = engine.events()) !== undefined;) decodeEvents(batch, connections, this.#target);
      if (this.#drained.length > 0) for (const connection of this.#drained.splice(0)) this.#drop(connection);
      if (this.#incoming.length > 0) for (const attempt of this.#incoming.splice(0)) this.#decide(instance, attempt);
    }
  }

  #drop(connection: QuicConnection): void {
    const { engine, handle } = connection;
    const connections = this.#engines.all.find((instance) => instance.engine === engine)?.connections;
    if (connections?.get(handle) !== connection) return;
    connections.delete(handle);
    this.#options.addresses?.release(connection.address);
    connection.handleDrained();
  }

  /** Asks the application's hook. A result that is not a verdict, and a throw, refuse. */
  #admit(incoming: Incoming): Verdict {
    try {
      const verdict: unknown = this.#options.admit?.(incoming);
      return verdict === undefined ? 'accept' : isVerdict(verdict) ? verdict : 'refuse';
    } catch {
      return 'refuse';
    }
  }

  #decide(instance: Instance, incoming: Incoming): void {
    const { engine } = instance;
    const admission = this.#arrivals.judge(incoming, this.#engines.connections, this.#closing);
    let { verdict } = admission;
    if (verdict === 'accept') verdict = this.#admit(incoming);
    const { number, address } = incoming;
    const turnAway = (how: 'refused' | 'retried' | 'ignored' | 'failed'): void =>
      this.#emit({ type: 'turned_away', address, how });
    switch (verdict) {
      case 'accept':
        break;
      case 'refuse':
        engine.refuse(number);
        return turnAway('refused');
      case 'retry':
        if (engine.retry(number)) return turnAway('retried');
        break; // It has proven its address already: nothing stands in its way.
      case 'ignore':
        engine.ignore(number);
        return turnAway('ignored');
    }
    const windows = this.#beginWindows(address);
    const handle = engine.accept(this.#now, number, windows.receive);
    if (handle < 0) {
      this.#windows.forget(windows);
      return turnAway('failed');
    }
    this.#displace(admission.handshake);
    this.#displace(admission.connection);
    this.#addConnection('initiator', instance, handle, address, windows);
    return undefined;
  }

  /** Ends an accepted connection to make room for one of a source with fewer. */
  #displace(connection: QuicConnection | undefined): void {
    if (connection === undefined) return;
    this.#emit({ type: 'turned_away', address: connection.address, how: 'displaced' });
    if (connection.state === 'handshake') this.#abandon(connection);
    else connection.close(this.#options.displacedCode ?? 0, 'made room for another source');
  }

  /** Ends a handshake without a closing period, so that handshakes that were given up hold nothing. */
  #abandon(connection: QuicConnection): void {
    connection.engine.abandon(connection.handle);
    this.#end(connection, { by: 'handshake_timeout', code: 0, alert: undefined, reason: 'made room for another' });
    this.#drop(connection);
  }
}
