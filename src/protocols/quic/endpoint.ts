/**
 * A QUIC endpoint as a sans-IO machine: datagrams in, datagrams and events out; it dials and listens on one address.
 *
 * The wire is RFC 9000, 9001, 9002, 9221 and 8899; docs/wire/quic.md has what shoal adds. The engine below does the
 * protocol; this file owns connections as objects, who is let in, and what happens when an engine breaks.
 */

import { type Bytes, copyBytes, decodeText } from '../../core/bytes.ts';
import { assert } from '../../core/errors.ts';
import { assertFunction, describeValue, wholeNumber } from '../../core/limits.ts';
import { type Machine, type Millis, type Output } from '../../core/machine.ts';
import { admitByDefault, type AdmissionLimits, type Incoming, isVerdict, type Verdict } from './admission.ts';
import { QuicConnection } from './connection.ts';
import { ALERT, type ConnectOptions, type QuicEndpointOptions } from './endpoint-options.ts';
import {
  EngineFailure,
  type EngineGauges,
  EVENT,
  type InboundDatagram,
  type OutboundDatagrams,
  type QuicEngine,
} from './engine.ts';
import { type ClosedBy, type QuicClosed, type QuicEvent } from './events.ts';
import { type EnginePort } from './port.ts';
import { encodeAlpn, type EngineSettings, resolveSettings } from './settings.ts';

const MAX_ADDRESS = 2 ** 32 - 1;
/** A server name as DNS has it (RFC 1035 §2.3.4). */
const MAX_SERVER_NAME = 253;
/** Bytes of a reset key that we draw ourselves: one HMAC-SHA-256 block. */
const RESET_KEY_BYTES = 64;

/** In the order of `lost_detail` in `engine/src/events.rs`. */
const CLOSED_BY: readonly ClosedBy[] = [
  'engine_failure',
  'version',
  'local_transport',
  'peer_transport',
  'peer',
  'stateless_reset',
  'idle_timeout',
  'local',
  'local_transport',
];

interface Deadline {
  readonly at: Millis;
  readonly connection: QuicConnection;
}

/** A QUIC endpoint. Its methods must not be called from within its hooks. */
export class QuicEndpoint implements Machine<OutboundDatagrams, QuicEvent> {
  readonly #options: QuicEndpointOptions;
  readonly #settings: EngineSettings;
  readonly #limits: AdmissionLimits;
  readonly #handshakeTimeoutMs: number;
  readonly #port: EnginePort;
  /** None after one broke, until the next call makes another. */
  #engine: QuicEngine | undefined;
  #now: Millis;
  /** By handle, drained ones excepted. Bounded by `maxConnections` and what we dial. */
  readonly #connections = new Map<number, QuicConnection>();
  /** Incoming connections in their handshake. */
  readonly #handshaking = new Set<QuicConnection>();
  /** Handshakes to give up, earliest first; finished ones are skipped. Bounded by connections made within the timeout. */
  #deadlines: Deadline[] = [];
  /** Bounded by what one batch of datagrams causes: all are taken before the next input. */
  #events: QuicEvent[] = [];
  #nextEvent = 0;
  #transmits: readonly OutboundDatagrams[] = [];
  #nextTransmit = 0;
  /** What the judge threw, until the connection it was about is closed. */
  readonly #verdicts = new Map<QuicConnection, unknown>();
  #closing = false;
  /** The last one, for those who cannot be served. */
  #failure: EngineFailure | undefined;

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
    this.#limits = {
      addressValidation,
      retryFromHandshakes: wholeNumber(options.retryFromHandshakes, 'retryFromHandshakes', 64, 0, 2 ** 20),
      maxHandshakes: wholeNumber(options.maxHandshakes, 'maxHandshakes', 256, 0, 2 ** 20),
      maxConnections: wholeNumber(options.maxConnections, 'maxConnections', 4096, 0, 2 ** 20),
    };
    this.#handshakeTimeoutMs = wholeNumber(options.handshakeTimeoutMs, 'handshakeTimeoutMs', 10_000, 0, 2 ** 31);
    // A key of our own, so that an engine that replaces a broken one can reset the connections of that one.
    const resetKey = options.resetKey ?? copyBytes(options.random(RESET_KEY_BYTES));
    this.#settings = resolveSettings({ ...options, resetKey });
    this.#now = now;
    this.#port = {
      now: () => this.#now,
      run: (engine, otherwise, act) => this.#run(engine, otherwise, act),
      emit: (event) => this.#emit(event),
    };
    this.#engine = this.#makeEngine();
  }

  /** Connections that are not drained yet, closing ones included. */
  get connections(): Iterable<QuicConnection> {
    return this.#connections.values();
  }

  /** Whether nothing is left to send or to wait for after `close`. */
  get drained(): boolean {
    return this.#closing && this.#connections.size === 0;
  }

  /** What the engine holds, for those who watch memory. */
  gauges(): EngineGauges | undefined {
    return this.#withEngine<EngineGauges | undefined>(undefined, (engine) => engine.gauges());
  }

  /** Takes datagrams; what is wrong with them is dropped. Sort out others with `isQuicDatagram` first. */
  handleDatagrams(now: Millis, datagrams: readonly InboundDatagram[]): void {
    this.#advance(now);
    this.#withEngine(undefined, (engine) => engine.receive(this.#now, datagrams));
    this.#takeEvents();
  }

  handleTimeout(now: Millis): void {
    this.#advance(now);
    this.#withEngine(undefined, (engine) => engine.handleTimeout(this.#now));
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
      this.#transmits = this.#withEngine<readonly OutboundDatagrams[]>([], (engine) => engine.poll(this.#now));
      this.#nextTransmit = 0;
      this.#takeEvents();
      if (this.#transmits.length === 0 && this.#events.length === 0)
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
    const attempt = (): number =>
      this.#withEngine<number>(Number.NaN, (engine) => engine.connect(this.#now, address, serverName, alpn));
    let handle = attempt();
    // Where the engine broke in this very call, a fresh one can do it.
    if (Number.isNaN(handle)) handle = attempt();
    if (Number.isNaN(handle)) throw this.#failure ?? new EngineFailure('The QUIC engine fails again and again');
    if (handle < 0) {
      if (serverName !== undefined) {
        throw new RangeError(`Cannot take serverName: expected a DNS name or an IP, got ${describeValue(serverName)}`);
      }
      throw new Error(`Cannot connect: the QUIC engine has no room for another connection (answered ${handle})`);
    }
    const connection = this.#addConnection('client', handle, address);
    if (serverName !== undefined) connection.handleNegotiated(undefined, serverName);
    return connection;
  }

  /** Closes every connection and takes no new ones. Poll on until `drained`, at most three round trips and a bit. */
  close(now: Millis, code = 0, reason = ''): void {
    this.#advance(now);
    this.#closing = true;
    for (const connection of this.#connections.values()) connection.close(code, reason);
  }

  #advance(now: Millis): void {
    if (now > this.#now) this.#now = now;
  }

  #emit(event: QuicEvent): void {
    if (event.type === 'connected' || event.type === 'closed') this.#handshaking.delete(event.connection);
    if (event.type === 'closed') this.#verdicts.delete(event.connection);
    this.#events.push(event);
  }

  #makeEngine(): QuicEngine {
    const { random } = this.#options;
    return this.#options.engines(
      { random, judge: (handle, chain) => this.#judge(handle, chain) },
      this.#settings,
      this.#now,
    );
  }

  #judge(handle: number, chain: readonly Bytes[]): number {
    const connection = this.#connections.get(handle);
    if (connection === undefined) return ALERT.ACCESS_DENIED;
    try {
      const verdict: unknown = this.#options.judge({ connection, chain });
      if (verdict === undefined) {
        connection.handleChain(chain);
        return 0;
      }
      return typeof verdict === 'number' && verdict > 0 && verdict < 256 ? verdict : ALERT.ACCESS_DENIED;
    } catch (thrown) {
      this.#verdicts.set(connection, thrown);
      return ALERT.ACCESS_DENIED;
    }
  }

  /** Calls the engine, a fresh one where the last one broke. */
  #withEngine<T>(otherwise: T, act: (engine: QuicEngine) => T): T {
    try {
      this.#engine ??= this.#makeEngine();
    } catch (error) {
      if (!(error instanceof EngineFailure)) throw error;
      this.#failure = error;
      return otherwise;
    }
    return this.#run(this.#engine, otherwise, act);
  }

  #run<T>(engine: QuicEngine, otherwise: T, act: (engine: QuicEngine) => T): T {
    if (engine !== this.#engine) return otherwise;
    try {
      return act(engine);
    } catch (error) {
      if (!(error instanceof EngineFailure)) throw error;
      this.#loseEngine(error);
      return otherwise;
    }
  }

  /** The engine is no more, and its connections with it. The next call makes another. */
  #loseEngine(failure: EngineFailure): void {
    this.#failure = failure;
    this.#engine = undefined;
    const lost = [...this.#connections.values()];
    this.#connections.clear();
    this.#deadlines = [];
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
    const engine = this.#withEngine<number>(Infinity, (engine) => engine.nextTimeout());
    while (this.#deadlines[0] !== undefined && this.#deadlines[0].connection.state !== 'handshake') {
      this.#deadlines.shift();
    }
    const until = Math.min(engine, this.#deadlines[0]?.at ?? Infinity);
    return until === Infinity ? undefined : until;
  }

  #giveUpHandshakes(): void {
    while (this.#deadlines[0] !== undefined && this.#deadlines[0].at <= this.#now) {
      const { connection } = this.#deadlines.shift()!;
      if (connection.state !== 'handshake') continue;
      const reason = `no handshake within ${this.#handshakeTimeoutMs} ms`;
      this.#withEngine(false, (engine) => engine.close(this.#now, connection.handle, 0, new Uint8Array(0)));
      this.#end(connection, { by: 'handshake_timeout', code: 0, alert: undefined, reason });
    }
  }

  #addConnection(role: 'client' | 'server', handle: number, address: number): QuicConnection {
    assert(this.#engine !== undefined, 'the engine has just answered');
    const mtuBytes = this.#settings.numbers[10]!;
    const connection = new QuicConnection(role, handle, address, mtuBytes, this.#port, this.#engine);
    this.#connections.set(handle, connection);
    this.#options.addresses?.retain(address);
    if (role === 'server') this.#handshaking.add(connection);
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
    const incoming: Incoming[] = [];
    const ended: QuicConnection[] = [];
    this.#withEngine(0, (engine) =>
      engine.events((kind, detail, subject, low, high, text) => {
        if (kind === EVENT.INCOMING) {
          const addressValidated = (detail & 1) !== 0;
          incoming.push({ number: subject, address: low, addressValidated, mayRetry: (detail & 2) !== 0 });
        } else if (kind === EVENT.KEY_LOG) {
          this.#emit({ type: 'key_log', line: decodeText(text) ?? '' });
        } else {
          const connection = this.#connections.get(subject);
          if (connection === undefined) return;
          if (kind === EVENT.DRAINED) ended.push(connection);
          else this.#connectionEvent(connection, kind, detail, low, high, text);
        }
      }),
    );
    for (const connection of ended) this.#drop(connection);
    for (const attempt of incoming) this.#decide(attempt);
  }

  #drop(connection: QuicConnection): void {
    if (this.#connections.get(connection.handle) !== connection) return;
    this.#connections.delete(connection.handle);
    this.#options.addresses?.release(connection.address);
    connection.handleDrained();
  }

  #connectionEvent(
    connection: QuicConnection,
    kind: number,
    detail: number,
    low: number,
    high: number,
    text: Uint8Array,
  ): void {
    switch (kind) {
      case EVENT.NEGOTIATED: {
        const alpnLength = text[0] ?? 0;
        const alpn = decodeText(text.subarray(1, 1 + alpnLength)) ?? '';
        const name = decodeText(text.subarray(1 + alpnLength)) ?? '';
        connection.handleNegotiated(
          alpn === '' ? undefined : alpn,
          connection.role === 'client' ? connection.serverName : name === '' ? undefined : name,
        );
        this.#emit({ type: 'negotiated', connection });
        return;
      }
      case EVENT.CONNECTED:
        if (connection.state !== 'handshake') return;
        connection.handleConnected();
        this.#emit({ type: 'connected', connection });
        return;
      case EVENT.LOST: {
        const by = CLOSED_BY[detail] ?? 'local_transport';
        const code = low + high * 2 ** 32;
        const transport = by === 'local_transport' || by === 'peer_transport';
        const alert = transport && code >= 0x100 && code < 0x200 ? code - 0x100 : undefined;
        this.#end(connection, { by, code, alert, reason: decodeText(text) ?? '' });
        return;
      }
      case EVENT.AVAILABLE:
        this.#emit({ type: 'streams_available', connection, kind: detail === 1 ? 'uni' : 'bidi' });
        return;
      case EVENT.DATAGRAM:
        this.#emit({ type: 'datagrams', connection });
        return;
      case EVENT.DATAGRAMS_UNBLOCKED:
        this.#emit({ type: 'datagrams_writable', connection });
        return;
      case EVENT.PATH:
        this.#options.addresses?.retain(low);
        this.#options.addresses?.release(high);
        connection.handlePath(low);
        this.#emit({ type: 'path_changed', connection, previous: high });
        return;
      case EVENT.MTU:
        connection.handleMtu(low);
        this.#emit({ type: 'mtu_changed', connection });
        return;
      default:
        this.#streamEvent(connection, kind, low + high * 2 ** 32, text);
    }
  }

  #streamEvent(connection: QuicConnection, kind: number, id: number, text: Uint8Array): void {
    if (connection.state === 'closed' && kind === EVENT.OPENED) return;
    const stream = connection.handleStream(id, kind === EVENT.OPENED);
    if (stream === undefined) return;
    switch (kind) {
      case EVENT.OPENED:
        this.#emit({ type: 'stream', stream });
        return;
      case EVENT.READABLE:
        this.#emit({ type: 'readable', stream });
        return;
      case EVENT.WRITABLE:
        if (stream.sendState === 'open') this.#emit({ type: 'writable', stream });
        return;
      case EVENT.FINISHED:
        if (stream.handleAcknowledged()) this.#emit({ type: 'acknowledged', stream });
        return;
      case EVENT.STOPPED: {
        const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
        const code = text.length === 8 ? Number(view.getBigUint64(0, true)) : 0;
        if (stream.handleStopped(code)) this.#emit({ type: 'stopped', stream });
        return;
      }
      default:
    }
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

  #decide(incoming: Incoming): void {
    const load = { connections: this.#connections.size, handshakes: this.#handshaking.size, closing: this.#closing };
    let verdict = admitByDefault(incoming, load, this.#limits);
    if (verdict === 'accept') verdict = this.#admit(incoming);
    const { number, address } = incoming;
    const turnAway = (how: 'refused' | 'retried' | 'ignored' | 'failed'): void =>
      this.#emit({ type: 'turned_away', address, how });
    switch (verdict) {
      case 'accept':
        break;
      case 'refuse':
        this.#withEngine(false, (engine) => engine.refuse(number));
        return turnAway('refused');
      case 'retry':
        if (this.#withEngine(false, (engine) => engine.retry(number))) return turnAway('retried');
        break; // It has proven its address already: nothing stands in its way.
      case 'ignore':
        this.#withEngine(false, (engine) => engine.ignore(number));
        return turnAway('ignored');
    }
    const handle = this.#withEngine<number>(-1, (engine) => engine.accept(this.#now, number));
    if (handle < 0) return turnAway('failed');
    this.#addConnection('server', handle, address);
    return undefined;
  }
}
