/**
 * A QUIC endpoint as a sans-IO machine: datagrams in, datagrams and events out; it dials and listens on one address.
 *
 * The wire is RFC 9000, 9001, 9002, 9221 and 8899; docs/wire/quic.md has what shoal adds. The engine below does the
 * protocol; this file owns connections as objects, who is let in, and what happens when an engine breaks.
 */

import { type Bytes, copyBytes, decodeText } from '../../base/bytes.ts';
import { assertFunction, describeValue, wholeNumber } from '../../base/checks.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { type Machine, type Millis, type Output } from '../../base/machine.ts';
import { Arrivals, type Incoming, isVerdict, type Verdict } from './admission.ts';
import { QuicConnection } from './connection.ts';
import { ALERT, type ConnectOptions, type QuicEndpointOptions } from './endpoint-options.ts';
import { EngineFailure, type EngineGauges, EVENT, type InboundDatagram, type OutboundDatagrams } from './engine.ts';
import { Engines, type Instance } from './engines.ts';
import { type QuicClosed } from './closed.ts';
import { type QuicEvent } from './events.ts';
import { type EnginePort } from './port.ts';
import { Relief } from './relief.ts';
import { type EventTarget, translate } from './translate.ts';
import { encodeAlpn, type EngineSettings, limitsOf, resolveSettings, settingsFor } from './settings.ts';
import { WindowBudget, Windows } from './window-budget.ts';

const MAX_ADDRESS = 2 ** 32 - 1;
/** A server name as DNS has it (RFC 1035 §2.3.4). */
const MAX_SERVER_NAME = 253;
/** Bytes of a reset key that we draw ourselves: one HMAC-SHA-256 block. */
const RESET_KEY_BYTES = 64;

/** Windows beyond the first ones that all connections may have together. */
const WINDOW_BUDGET_BYTES = 48 * 2 ** 20;
/** Unfinished incoming handshakes up to which connections get a window in their handshake and not only after it. */
const EAGER_HANDSHAKES = 16;

interface Deadline {
  readonly at: Millis;
  readonly connection: QuicConnection;
}

/** A QUIC endpoint. Its methods must not be called from within its hooks. */
export class QuicEndpoint implements Machine<OutboundDatagrams, QuicEvent> {
  readonly #options: QuicEndpointOptions;
  readonly #settings: EngineSettings;
  readonly #handshakeTimeoutMs: number;
  readonly #port: EnginePort;
  readonly #engines: Engines;
  readonly #target: EventTarget;
  readonly #windows: WindowBudget;
  readonly #relief: Relief;
  /** Connections by their windows, for those whose windows change. */
  readonly #byWindows = new WeakMap<Windows, QuicConnection>();
  #now: Millis;
  readonly #arrivals: Arrivals;
  /** Handshakes to give up, earliest first; finished ones are skipped. Bounded by connections made within the timeout. */
  #deadlines: Deadline[] = [];
  /** Bounded by what one batch of datagrams causes: all are taken before the next input. */
  #events: QuicEvent[] = [];
  #nextEvent = 0;
  #transmits: OutboundDatagrams[] = [];
  #nextTransmit = 0;
  /** What the judge threw, until the connection it was about is closed. */
  readonly #verdicts = new Map<QuicConnection, unknown>();
  /** Peers that the judge has not decided about. Bounded by `maxConnections` and what we dial. */
  readonly #pending = new Set<QuicConnection>();
  #closing = false;

  /**
   * @throws {TypeError | RangeError} for settings out of bounds, and for a certificate or key that TLS cannot use.
   */
  constructor(options: QuicEndpointOptions, now: Millis) {
    assertFunction(options.engines, 'engines');
    assertFunction(options.random, 'random');
    assertFunction(options.judge, 'judge');
    const { addressValidation = 'under_load' } = options;
    if (!['never', 'under_load', 'always'].includes(addressValidation)) {
      throw new TypeError(
        `Cannot take addressValidation: expected 'never', 'under_load' or 'always', got ${describeValue(addressValidation)}`,
      );
    }
    this.#options = options;
    const limits = {
      addressValidation,
      retryFromHandshakes: wholeNumber(options.retryFromHandshakes, 'retryFromHandshakes', 64, 0, 2 ** 20),
      maxHandshakes: wholeNumber(options.maxHandshakes, 'maxHandshakes', 256, 0, 2 ** 20),
      maxConnections: wholeNumber(options.maxConnections, 'maxConnections', 4096, 0, 2 ** 20),
    };
    this.#arrivals = new Arrivals(limits, options.hostOf);
    this.#handshakeTimeoutMs = wholeNumber(options.handshakeTimeoutMs, 'handshakeTimeoutMs', 10_000, 0, 2 ** 31);
    // A key of our own, so that an engine that replaces a broken one can reset the connections of that one.
    const resetKey = options.resetKey ?? copyBytes(options.random(RESET_KEY_BYTES));
    this.#settings = resolveSettings({ ...options, resetKey });
    this.#now = now;
    this.#port = {
      now: () => this.#now,
      run: (engine, otherwise, act) => this.#engines.run(engine, otherwise, act),
      read: (windows, bytes) => this.#windows.handleRead(windows, bytes, this.#now),
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
    };
    this.#engines = new Engines({
      make: (mark, judge) =>
        options.engines({ random: options.random, judge }, settingsFor(this.#settings, mark), this.#now),
      judge: (connection, chain) => this.#judge(connection, chain),
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

  /** What the engines hold together, for those who watch memory. */
  gauges(): EngineGauges | undefined {
    return this.#engines.gauges();
  }

  /** Takes datagrams; what is wrong with them is dropped. Sort out others with `isQuicDatagram` first. */
  handleDatagrams(now: Millis, datagrams: readonly InboundDatagram[]): void {
    this.#advance(now);
    this.#engines.receive(datagrams, (engine, own) =>
      this.#engines.run(engine, undefined, () => engine.receive(this.#now, own)),
    );
    this.#takeEvents();
  }

  handleTimeout(now: Millis): void {
    this.#advance(now);
    for (const { engine } of this.#engines.all) {
      this.#engines.run(engine, undefined, () => engine.handleTimeout(this.#now));
    }
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
      this.#transmits = this.#engines.all.flatMap(({ engine }) =>
        this.#engines.run<readonly OutboundDatagrams[]>(engine, [], () => engine.poll(this.#now)),
      );
      this.#nextTransmit = 0;
      this.#takeEvents();
      if (this.#transmits.length > 0 || this.#events.length > 0) continue;
      this.#engines.tidy();
      this.#relief.look(this.#now, (connection) => {
        this.#emit({ type: 'turned_away', address: connection.address, how: 'displaced' });
        connection.close(this.#options.displacedCode ?? 0, 'holds too much memory');
      });
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
    wholeNumber(address, 'address', address, 0, MAX_ADDRESS);
    const { serverName, alpn } = options;
    if (serverName !== undefined && (serverName.length < 1 || serverName.length > MAX_SERVER_NAME)) {
      throw new RangeError(
        `Cannot take serverName: expected 1 to ${MAX_SERVER_NAME} characters, got ${serverName.length}`,
      );
    }
    if (alpn !== undefined) encodeAlpn(alpn);
    if (this.#closing) throw new Error('Cannot connect: the QUIC endpoint is closed');
    const windows = this.#beginWindows(address);
    let instance = this.#engines.current;
    const attempt = (): number | undefined =>
      instance &&
      this.#engines.run(instance.engine, undefined, (engine) =>
        engine.connect(this.#now, address, serverName, alpn, windows.receive),
      );
    let handle = attempt();
    if (handle === undefined) {
      // Where the engine broke in this very call, a fresh one can do it.
      instance = this.#engines.current;
      handle = attempt();
    }
    if (handle === undefined || instance === undefined || handle < 0) this.#windows.forget(windows);
    if (handle === undefined || instance === undefined) {
      throw this.#engines.failure ?? new EngineFailure('The QUIC engine fails again and again');
    }
    if (handle < 0) {
      if (serverName !== undefined) {
        throw new RangeError(`Cannot take serverName: expected a DNS name or an IP, got ${describeValue(serverName)}`);
      }
      throw new Error(`Cannot connect: the QUIC engine has no room for another connection (answered ${handle})`);
    }
    const connection = this.#addConnection('client', instance, handle, address, windows);
    if (serverName !== undefined) connection.handleNegotiated(undefined, serverName);
    return connection;
  }

  /** The judge's late yes to a connection that is pending. */
  admit(now: Millis, connection: QuicConnection): void {
    this.#advance(now);
    if (this.#pending.delete(connection) && connection.state === 'open') this.#windows.open(connection.windows, now);
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
      if (!this.#pending.has(event.connection)) this.#windows.open(event.connection.windows, this.#now);
    }
    if (event.type === 'closed') {
      this.#arrivals.ended(event.connection);
      this.#windows.forget(event.connection.windows);
      this.#verdicts.delete(event.connection);
      this.#pending.delete(event.connection);
    }
    this.#events.push(event);
  }

  #setWindows(windows: Windows): void {
    const connection = this.#byWindows.get(windows);
    if (connection === undefined) return;
    this.#engines.run(connection.engine, false, (engine) =>
      engine.setWindows(connection.handle, windows.receive, windows.send),
    );
  }

  #judge(connection: QuicConnection | undefined, chain: readonly Bytes[]): number {
    if (connection === undefined) return ALERT.ACCESS_DENIED;
    try {
      const verdict: unknown = this.#options.judge({ connection, chain });
      if (verdict === undefined || verdict === 'pending') {
        if (verdict === 'pending') this.#pending.add(connection);
        connection.handleChain(chain);
        return 0;
      }
      return typeof verdict === 'number' && verdict > 0 && verdict < 256 ? verdict : ALERT.ACCESS_DENIED;
    } catch (thrown) {
      this.#verdicts.set(connection, thrown);
      return ALERT.ACCESS_DENIED;
    }
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
    let engines = Infinity;
    for (const { engine } of this.#engines.all) {
      engines = Math.min(
        engines,
        this.#engines.run(engine, Infinity, () => engine.nextTimeout()),
      );
    }
    while (this.#deadlines[0] !== undefined && this.#deadlines[0].connection.state !== 'handshake') {
      this.#deadlines.shift();
    }
    const until = Math.min(engines, this.#deadlines[0]?.at ?? Infinity);
    return until === Infinity ? undefined : until;
  }

  #giveUpHandshakes(): void {
    while (this.#deadlines[0] !== undefined && this.#deadlines[0].at <= this.#now) {
      const { connection } = this.#deadlines.shift()!;
      if (connection.state !== 'handshake') continue;
      const reason = `no handshake within ${this.#handshakeTimeoutMs} ms`;
      this.#engines.run(connection.engine, false, (engine) =>
        engine.close(this.#now, connection.handle, 0, new Uint8Array(0)),
      );
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

  #addConnection(
    role: 'client' | 'server',
    instance: Instance,
    handle: number,
    address: number,
    windows: Windows,
  ): QuicConnection {
    const { mtuBytes } = limitsOf(this.#settings);
    const ended = (closed: QuicClosed): void => this.#emit({ type: 'closed', connection, closed });
    const { engine } = instance;
    const connection = new QuicConnection(role, handle, address, mtuBytes, this.#port, engine, windows, ended);
    this.#byWindows.set(windows, connection);
    instance.connections.set(handle, connection);
    this.#options.addresses?.retain(address);
    if (role === 'server') this.#arrivals.begun(connection);
    if (this.#handshakeTimeoutMs > 0) {
      this.#deadlines.push({ at: this.#now + this.#handshakeTimeoutMs, connection });
    }
    return connection;
  }

  /** A connection ends: tell it, once. */
  #end(connection: QuicConnection, closed: QuicClosed): void {
    const thrown = this.#verdicts.get(connection);
    connection.handleClosed(thrown === undefined ? closed : { ...closed, cause: thrown });
  }

  /** Turns what the engine has to tell into events. Incoming attempts are decided afterwards, since that calls the engine. */
  #takeEvents(): void {
    for (const instance of this.#engines.all) {
      const incoming: Incoming[] = [];
      const ended: QuicConnection[] = [];
      this.#engines.run(instance.engine, 0, (engine) =>
        engine.events((kind, detail, subject, low, high, text) => {
          if (kind === EVENT.INCOMING) {
            const addressValidated = (detail & 1) !== 0;
            incoming.push({ number: subject, address: low, addressValidated, mayRetry: (detail & 2) !== 0 });
          } else if (kind === EVENT.KEY_LOG) {
            this.#emit({ type: 'key_log', line: decodeText(text) ?? '' });
          } else {
            const connection = instance.connections.get(subject);
            if (connection === undefined) return;
            if (kind === EVENT.DRAINED) ended.push(connection);
            else translate(this.#target, connection, kind, detail, low, high, text);
          }
        }),
      );
      for (const connection of ended) this.#drop(connection);
      for (const attempt of incoming) this.#decide(instance, attempt);
    }
  }

  #drop(connection: QuicConnection): void {
    const { engine, handle } = connection;
    const connections = this.#engines.connectionsOf(engine);
    if (connections?.get(handle) !== connection) return;
    connections.delete(handle);
    this.#options.addresses?.release(connection.address);
    connection.handleDrained();
  }

  /** What the application's hook says; an answer that is no verdict, and a throw, admit nobody. */
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
        this.#engines.run(engine, false, () => engine.refuse(number));
        return turnAway('refused');
      case 'retry':
        if (this.#engines.run(engine, false, () => engine.retry(number))) return turnAway('retried');
        break; // It has proven its address already: nothing stands in its way.
      case 'ignore':
        this.#engines.run(engine, false, () => engine.ignore(number));
        return turnAway('ignored');
    }
    const windows = this.#beginWindows(address);
    const handle = this.#engines.run<number>(engine, -1, () => engine.accept(this.#now, number, windows.receive));
    if (handle < 0) {
      this.#windows.forget(windows);
      return turnAway('failed');
    }
    this.#displace(admission.handshake);
    this.#displace(admission.connection);
    this.#addConnection('server', instance, handle, address, windows);
    return undefined;
  }

  /** Ends an accepted connection that makes room for one of a source with less. */
  #displace(connection: QuicConnection | undefined): void {
    if (connection === undefined) return;
    this.#emit({ type: 'turned_away', address: connection.address, how: 'displaced' });
    if (connection.state === 'handshake') this.#abandon(connection);
    else connection.close(this.#options.displacedCode ?? 0, 'made room for another source');
  }

  /** Ends a handshake without a closing period, so that handshakes that were given up hold nothing. */
  #abandon(connection: QuicConnection): void {
    this.#engines.run(connection.engine, false, (engine) => engine.abandon(connection.handle));
    this.#end(connection, { by: 'handshake_timeout', code: 0, alert: undefined, reason: 'made room for another' });
    this.#drop(connection);
  }
}
