/**
 * QUIC over a datagram swarm: drives the machine, batches what comes, maps addresses, dispatches events. The one layer under the
 * swarm (`shoal/quic`) and the endpoint (`shoal/endpoint`), which add identities and what goes over a connection.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { Message } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import { sendFailures } from '../swarm-kit/send-failures.ts';
import { type SendPath, sendPath } from '../swarm-kit/send-path.ts';
import type { Swarm } from '../core/swarm.ts';
import { unroutable } from '../net/unroutable.ts';
import { Driver } from '../runtime/driver.ts';
import { soon } from '../runtime/later.ts';
import { RESOLVED } from '../runtime/promises.ts';
import { AddressTable } from '../protocols/quic/address-table.ts';
import { isQuicDatagram } from '../protocols/quic/classify.ts';
import type { QuicClosed } from '../protocols/quic/closed.ts';
import type { QuicConnection } from '../protocols/quic/connection.ts';
import type { ConnectOptions, Judge, QuicEndpointOptions } from '../protocols/quic/endpoint-options.ts';
import type { QuicEndpoint } from '../protocols/quic/endpoint.ts';
import type { EngineFailure, InboundDatagram, OutboundDatagrams } from '../protocols/quic/engine.ts';
import type { QuicEvent, TurnedAway } from '../protocols/quic/events.ts';
import type { QuicStream, StreamKind } from '../protocols/quic/stream.ts';

/** RFC 9000 §14: every path of QUIC carries datagrams of this size. */
export const MIN_INNER_MTU = 1200;

/** An address of the swarm below, and ours to which its last datagram came. */
export interface Place<I extends Addr> {
  readonly src: I;
  dst: I | undefined;
  /** The way there, once something is sent. */
  path: SendPath | undefined;
}

/** What handles the streams of one connection. */
export interface StreamHandler {
  /** The peer opened a stream. There may be bytes: no `handleReadable` comes for the first of them. */
  handleOpened(stream: QuicStream): void;
  handleReadable(stream: QuicStream): void;
  handleWritable(stream: QuicStream): void;
  handleAcknowledged(stream: QuicStream): void;
  handleStopped(stream: QuicStream): void;
  /** The peer allows more streams of a kind. */
  handleAvailable(kind: StreamKind): void;
}

/** What the owner of the driver does with events. */
export interface QuicDriverHooks<I extends Addr> {
  readonly judge: Judge;
  /** What handles the streams of a connection; `undefined` while its peer may not talk. */
  handlerOf(connection: QuicConnection): StreamHandler | undefined;
  /** The handshake is over on this side. */
  connected(connection: QuicConnection): void;
  closed(connection: QuicConnection, closed: QuicClosed): void;
  /** Datagrams of the peer wait: take them until none is left. */
  datagrams(connection: QuicConnection): void;
  /** The peer is at another address now. */
  moved?(connection: QuicConnection): void;
  /** Something may have been read, and is held now. */
  received?(): void;
  /** @param src - where the attempt came from; its IP may be forged. */
  turnedAway(how: TurnedAway, src: I | undefined): void;
  engineFailed(failure: EngineFailure): void;
  keyLog(line: string): void;
  /** Something that is not QUIC. */
  other(message: Message<I>): void;
  /** The swarm below cannot send there. Not called inside a call to the machine. */
  unreachable?(place: Place<I>, error: unknown): void;
  failed(bug: Error): void;
  /** Runs in a later turn, unless the swarm or endpoint has closed by then. */
  later(act: () => void): void;
}

/** What the machine needs of its driver. */
export type EndpointHooks = Pick<QuicEndpointOptions, 'judge' | 'addresses' | 'hostOf' | 'heldElsewhere'>;

/** Makes the endpoint. */
export type MakeEndpoint = (hooks: EndpointHooks) => QuicEndpoint;

export class QuicDriver<I extends Addr> {
  readonly #realm: Realm;
  readonly #inner: Swarm<I>;
  readonly #hooks: QuicDriverHooks<I>;
  readonly #endpoint: QuicEndpoint;
  readonly #driver: Driver<OutboundDatagrams, QuicEvent>;
  readonly #listening: readonly Disposable[];
  readonly #places = new AddressTable<Place<I>>();
  /** Datagrams of this turn. Bounded by what the swarm below delivers in a turn. */
  #inbox: InboundDatagram[] = [];
  #isTurnScheduled = false;
  #isFlushScheduled = false;
  /** Whether datagrams are being processed or sent: what is written meanwhile goes out before that ends. */
  #isBusy = false;

  constructor(inner: Swarm<I>, hooks: QuicDriverHooks<I>, makeEndpoint: MakeEndpoint) {
    const { realm } = inner;
    this.#realm = realm;
    this.#inner = inner;
    this.#hooks = hooks;
    this.#endpoint = makeEndpoint({
      judge: hooks.judge,
      addresses: this.#places,
      hostOf: (address) => {
        const src = this.#places.get(address)?.src;
        return src && (ipOf(src) ?? src.text);
      },
    });
    this.#driver = new Driver(this.#endpoint, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#dispatch(event),
      failed: (bug) => hooks.failed(bug),
      background: true,
    });
    const listening = [inner.listen((message) => this.#receive(message))];
    const failures = sendFailures(inner);
    if (failures !== undefined) {
      listening.push(
        failures.onSendFailed((dst, error) => {
          const number = this.#places.find(dst.text);
          if (number !== undefined) this.#cannotSend(this.#places.get(number)!, error);
        }),
      );
    }
    this.#listening = listening;
  }

  /** What the engine holds, in bytes. */
  get engineBytes(): number {
    return this.#endpoint.gauges()?.memoryBytes ?? 0;
  }

  /** Receive windows beyond the first ones, granted to connections, in bytes. */
  get grantedBytes(): number {
    return this.#endpoint.grantedBytes;
  }

  /**
   * Begins a connection to an address of the swarm below.
   *
   * @param what - for error messages: `<PeerID>@127.0.0.1:5000`.
   */
  dial(inner: I, what: string, options?: ConnectOptions): QuicConnection | P2PError {
    const nowhere = unroutable(inner, what);
    if (nowhere !== undefined) return nowhere;
    const mtu = this.#inner.mtu(inner);
    if (mtu < MIN_INNER_MTU) {
      const why = `the swarm below carries ${mtu} bytes, QUIC needs ${MIN_INNER_MTU}; wrap it in frag()`;
      return new P2PError('unsupported', 'local', `Cannot reach ${what}: ${why}`, { sent: 'no' });
    }
    const number = this.#places.numberOf(inner.text, () => ({ src: inner, dst: undefined, path: undefined }));
    const connection = this.#endpoint.connect(this.#realm.nowMs(), number, options);
    this.scheduleFlush();
    return connection;
  }

  /** The judge's late yes to a connection that is pending. */
  admit(connection: QuicConnection): void {
    this.#endpoint.admit(this.#realm.nowMs(), connection);
    this.scheduleFlush();
  }

  /** Where the peer of a connection is; `undefined` when that was forgotten, which needs a connection that is over. */
  placeOf(connection: QuicConnection): Place<I> | undefined {
    return this.#places.get(connection.address);
  }

  /** Sends what was written, after the calls and callbacks that are under way, so that it leaves together. */
  readonly scheduleFlush = (): void => {
    if (this.#isFlushScheduled || this.#isBusy) return;
    this.#isFlushScheduled = true;
    soon(this.#realm, this.#flush);
  };

  /** Has it done now. */
  poll(): void {
    if (this.#isBusy) {
      this.#driver.poll();
      return;
    }
    this.#isBusy = true;
    try {
      this.#driver.poll();
    } finally {
      this.#isBusy = false;
    }
  }

  /** Sends one CONNECTION_CLOSE to each peer; a peer that does not get it notices by its idle timeout. */
  close(code: number, reason: string): void {
    this.#endpoint.close(this.#realm.nowMs(), code, reason);
    this.poll();
    this.#driver.stop();
    for (const listening of this.#listening) listening[Symbol.dispose]();
  }

  #receive({ src, dst, payload }: Message<I>): void {
    if (!isQuicDatagram(payload)) {
      this.#hooks.other({ src, dst, payload });
      return;
    }
    const number = this.#places.numberOf(src.text, () => ({ src, dst, path: undefined }));
    this.#places.get(number)!.dst = dst;
    this.#inbox.push({ address: number, bytes: payload });
    if (this.#isTurnScheduled) return;
    this.#isTurnScheduled = true;
    this.#hooks.later(this.#turn);
  }

  /** Processes the datagrams of a turn together, in a later one: one acknowledgement for many. */
  readonly #turn = (): void => {
    this.#isTurnScheduled = false;
    const inbox = this.#inbox;
    this.#inbox = [];
    this.#isBusy = true;
    try {
      this.#endpoint.handleDatagrams(this.#realm.nowMs(), inbox);
    } finally {
      this.#isBusy = false;
    }
    this.poll();
  };

  readonly #flush = (): void => {
    this.#isFlushScheduled = false;
    this.poll();
  };

  #dispatch(event: QuicEvent): void {
    const hooks = this.#hooks;
    switch (event.type) {
      case 'connected':
        return hooks.connected(event.connection);
      case 'closed':
        return hooks.closed(event.connection, event.closed);
      case 'stream':
        hooks.handlerOf(event.stream.connection)?.handleOpened(event.stream);
        return hooks.received?.();
      case 'readable':
        hooks.handlerOf(event.stream.connection)?.handleReadable(event.stream);
        return hooks.received?.();
      case 'writable':
        return hooks.handlerOf(event.stream.connection)?.handleWritable(event.stream);
      case 'acknowledged':
        return hooks.handlerOf(event.stream.connection)?.handleAcknowledged(event.stream);
      case 'stopped':
        return hooks.handlerOf(event.stream.connection)?.handleStopped(event.stream);
      case 'streams_available':
        return hooks.handlerOf(event.connection)?.handleAvailable(event.kind);
      case 'datagrams':
        return hooks.datagrams(event.connection);
      case 'path_changed':
        return hooks.moved?.(event.connection);
      case 'turned_away':
        return hooks.turnedAway(event.how, this.#places.get(event.address)?.src);
      case 'engine_failed':
        return hooks.engineFailed(event.failure);
      case 'key_log':
        return hooks.keyLog(event.line);
      case 'negotiated':
      case 'datagrams_writable':
      case 'mtu_changed':
        return undefined;
    }
  }

  #transmit({ address, bytes, segmentBytes }: OutboundDatagrams): void {
    const place = this.#places.entries.get(address)?.address;
    if (place === undefined) return;
    const path = (place.path ??= sendPath(this.#inner, place.src));
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      const told = path.send(bytes.subarray(at, at + segmentBytes));
      // Datagrams that the kernel takes at once, nearly all, give the one shared promise.
      if (told !== RESOLVED) told.catch((error: unknown) => this.#cannotSend(place, error));
    }
  }

  #cannotSend(place: Place<I>, error: unknown): void {
    this.#hooks.later(() => this.#hooks.unreachable?.(place, error));
  }
}
