/**
 * QUIC over a datagram swarm: drives the machine, batches what comes, finds the addresses below. The one layer under the
 * swarm (`shoal/quic`) and the endpoint (`shoal/endpoint`), which add who is who and what goes over a connection.
 */

import { type Addr, ipOf } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import { type Message } from '../core/message.ts';
import { type Realm } from '../core/realm.ts';
import { sendFailures } from '../swarm-kit/send-failures.ts';
import { type Swarm } from '../core/swarm.ts';
import { unroutable } from '../net/unroutable.ts';
import { Driver } from '../runtime/driver.ts';
import { RESOLVED } from '../runtime/promises.ts';
import { AddressTable } from '../protocols/quic/address-table.ts';
import { isQuicDatagram } from '../protocols/quic/classify.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { type ConnectOptions, type Judge, type QuicEndpointOptions } from '../protocols/quic/endpoint-options.ts';
import { type QuicEndpoint } from '../protocols/quic/endpoint.ts';
import { type InboundDatagram, type OutboundDatagrams } from '../protocols/quic/engine.ts';
import { type QuicEvent } from '../protocols/quic/events.ts';

/** RFC 9000 §14: every path of QUIC carries datagrams of this size. */
export const MIN_INNER_MTU = 1200;

/** An address of the swarm below, and ours to which its last datagram came. */
export interface Place<I extends Addr> {
  readonly src: I;
  dst: I | undefined;
}

/** What is done with what comes. */
export interface QuicDriverHooks<I extends Addr> {
  readonly judge: Judge;
  event(event: QuicEvent): void;
  /** Something that is not QUIC. */
  other(message: Message<I>): void;
  /** The swarm below says that it cannot send there. Called outside of the machine's own calls. */
  unreachable?(place: Place<I>, error: unknown): void;
  failed(bug: Error): void;
  /** Runs in a later turn, unless the swarm or endpoint has closed by then. */
  later(act: () => void): void;
}

/** What the machine needs of those who drive it. */
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
  #isFlushScheduled = false;

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
      event: (event) => hooks.event(event),
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
    const number = this.#places.numberOf(inner.text, () => ({ src: inner, dst: undefined }));
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

  /** Has everything that came or was asked for in this turn done together: one acknowledgement for many datagrams. */
  scheduleFlush(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#hooks.later(() => this.#turn());
  }

  /** Has it done now. */
  poll(): void {
    this.#driver.poll();
  }

  /** One CONNECTION_CLOSE to each peer; who does not get it learns from silence. */
  close(code: number, reason: string): void {
    this.#endpoint.close(this.#realm.nowMs(), code, reason);
    this.#driver.poll();
    this.#driver.stop();
    for (const listening of this.#listening) listening[Symbol.dispose]();
  }

  #receive({ src, dst, payload }: Message<I>): void {
    if (!isQuicDatagram(payload)) {
      this.#hooks.other({ src, dst, payload });
      return;
    }
    const number = this.#places.numberOf(src.text, () => ({ src, dst }));
    this.#places.get(number)!.dst = dst;
    this.#inbox.push({ address: number, bytes: payload });
    this.scheduleFlush();
  }

  #turn(): void {
    this.#isFlushScheduled = false;
    const inbox = this.#inbox;
    this.#inbox = [];
    if (inbox.length > 0) this.#endpoint.handleDatagrams(this.#realm.nowMs(), inbox);
    this.#driver.poll();
  }

  #transmit({ address, bytes, segmentBytes }: OutboundDatagrams): void {
    const place = this.#places.get(address);
    if (place === undefined) return;
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      const told = this.#inner.tell(place.src, bytes.subarray(at, at + segmentBytes));
      // What is accepted at once answers the one shared promise, and that is nearly all.
      if (told !== RESOLVED) told.catch((error: unknown) => this.#cannotSend(place, error));
    }
  }

  #cannotSend(place: Place<I>, error: unknown): void {
    this.#hooks.later(() => this.#hooks.unreachable?.(place, error));
  }
}
