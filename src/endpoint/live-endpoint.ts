/** An endpoint in use: what the application calls. */

import { bestAddr } from '../core/text-addrs.ts';
import type { Addr } from '../core/addr.ts';
import type { Counters } from '../core/counters.ts';
import { type Describes, inspect, type LayerDescription } from '../core/inspect.ts';
import { P2PError } from '../core/errors.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';
import type { PublicKey } from '../core/secure.ts';
import type { CallOptions, Closed, Swarm } from '../core/swarm.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { later } from '../runtime/later.ts';
import { markHandled, RESOLVED, rejection } from '../runtime/promises.ts';
import { checkCall, Waits } from '../runtime/waits.ts';
import { checkCode } from '../protocols/quic/stream.ts';
import type { MakeEndpoint } from '../quic/quic-driver.ts';
import { CLOSE_CODE } from './codes.ts';
import type { CloseOptions, QuicConnection } from './connection.ts';
import { EndpointConnections, type EndpointConnectionsHooks } from './connections.ts';
import { Connector } from './connector.ts';
import { Deliveries } from './deliveries.ts';
import type {
  ConnectOptions,
  ConnectTarget,
  ConnectToAnyOptions,
  Endpoint,
  EventFeed,
  EventOptions,
  PeerTarget,
  SendToOptions,
} from './endpoint.ts';
import { EventSubscribers } from './events.ts';
import { type Feed, type FeedOptions, Feeds } from './feed.ts';
import type { IncomingMessage } from './incoming-message.ts';
import type { LiveConnection } from './live-connection.ts';
import type { OutgoingMessage } from './message.ts';
import type { MessageFormat } from './message-format.ts';
import type { ResolvedEndpointOptions } from './options.ts';
import { PeerLookup } from './peer-lookup.ts';
import { SharedInbox } from './shared-inbox.ts';
import type { SendOptions } from './stream.ts';

/** How long a drain waits unless the call says otherwise. */
const DRAIN_TIMEOUT_MS = 30_000;

/** Who an endpoint is, and what it stands on. */
export interface EndpointParts<A extends Addr, M> {
  readonly inner: Swarm<A>;
  readonly resolved: ResolvedEndpointOptions<A>;
  readonly format: MessageFormat<M>;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  readonly keepInner: boolean;
  readonly makeEndpoint: MakeEndpoint;
}

export class LiveEndpoint<A extends Addr, M> implements Endpoint<A, M>, Describes {
  readonly realm: Realm;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  readonly #parts: EndpointParts<A, M>;
  readonly #counters: CounterSet;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #events: EventSubscribers<A, M>;
  readonly #inbox: SharedInbox<IncomingMessage<LiveConnection<A, M>, M>>;
  /** Accepted and not taken, in order. Bounded by `maxConnections`: those that end are removed. */
  readonly #untaken = new Set<LiveConnection<A, M>>();
  readonly #accepted: Feeds<QuicConnection<A, M>>;
  readonly #connections: EndpointConnections<A, M>;
  readonly #lookup: PeerLookup<A, M>;
  readonly #connector: Connector<A, M>;
  readonly #deliveries: Deliveries<A, M>;
  /** Fires when the endpoint closes. */
  readonly #endSignal = new AbortController();
  #closing: { readonly code: number; readonly reason: string } = { code: CLOSE_CODE.NORMAL, reason: 'closed' };

  constructor(parts: EndpointParts<A, M>) {
    const { inner, resolved, format } = parts;
    const { realm } = inner;
    this.#parts = parts;
    this.realm = realm;
    this.publicKey = parts.publicKey;
    this.peerId = parts.peerId;
    this.#counters = new CounterSet('endpoint', inner.counters);
    const waits = new Waits(realm);
    this.#waits = waits;
    this.#latch = new CloseLatch({ realm, layer: 'endpoint', release: () => this.#release() });
    this.#events = new EventSubscribers<A, M>(waits, () => this.#latch.isClosed);
    const ended = (): { readonly error?: unknown } | undefined => this.#feedEnd();
    this.#inbox = new SharedInbox(waits, ended);
    const take = (): QuicConnection<A, M> | undefined => this.#takeAccepted();
    this.#accepted = new Feeds<QuicConnection<A, M>>({ what: 'connections of the endpoint', waits, take, ended });
    const hooks = this.#hooks();
    this.#connections = new EndpointConnections(inner, resolved, parts.peerId, hooks, parts.makeEndpoint);
    const { closedError } = hooks;
    const connections = this.#connections;
    const parse = (text: string): A => this.parseAddr(text);
    const lookup = new PeerLookup({ connections, parse, hasPeerIds: !resolved.qp2p });
    const endSignal = this.#endSignal.signal;
    const connector = new Connector({ realm, waits, resolved, connections, lookup, endSignal, closedError });
    this.#lookup = lookup;
    this.#connector = connector;
    this.#deliveries = new Deliveries({ format, waits, events: this.#events, lookup, connector, closedError });
    void inner.closed.then((how) => this.#latch.fail(how.cause ?? how));
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get addr(): A {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): A | undefined {
    return this.#parts.inner.tryParseAddr(text);
  }

  localAddrs(): readonly A[] {
    return this.#latch.isClosed ? [] : this.#parts.inner.localAddrs();
  }

  parseAddr(text: string): A {
    return this.#parts.inner.parseAddr(text);
  }

  connect(target: ConnectTarget<A> | A | string, options: ConnectOptions = {}): Promise<QuicConnection<A, M>> {
    return this.#connector.connect(target, options);
  }

  connectToAny(
    candidates: readonly (ConnectTarget<A> | A | string)[],
    options: ConnectToAnyOptions = {},
  ): Promise<QuicConnection<A, M>> {
    return this.#connector.connectToAny(candidates, options);
  }

  connections(options?: FeedOptions): Feed<QuicConnection<A, M>> {
    return this.#accepted.iterate(options);
  }

  messages(options?: FeedOptions): Feed<IncomingMessage<QuicConnection<A, M>, M>> {
    return this.#inbox.iterate(options);
  }

  events(options?: EventOptions): EventFeed<A, M> {
    return this.#events.listen(options);
  }

  send(peer: PeerTarget<A, M>, message: OutgoingMessage<M>, options: SendToOptions = {}): Promise<void> {
    return this.#deliveries.send(peer, message, options);
  }

  trySend(
    peer: PeerTarget<A, M>,
    message: OutgoingMessage<M>,
    options: SendOptions & { readonly token?: unknown } = {},
  ): Promise<void> {
    return this.#deliveries.trySend(peer, message, options);
  }

  connectionTo(peer: PeerTarget<A, M>): QuicConnection<A, M> | undefined {
    return this.#lookup.connectionOf(peer);
  }

  openConnections(): readonly QuicConnection<A, M>[] {
    return [...this.#connections.index.values()];
  }

  disconnectFrom(peer: PeerTarget<A, M>, options: CloseOptions = {}): Promise<number> {
    checkCode(options.code ?? CLOSE_CODE.NORMAL, 'code');
    // The list shrinks as they close.
    const all = [...this.#lookup.connectionsOf(peer)];
    return Promise.all(all.map((connection) => connection.close(options))).then(() => all.length);
  }

  recheck(): Promise<void> {
    return this.#latch.isClosed ? RESOLVED : this.#connections.recheck();
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    const call = { timeoutMs: DRAIN_TIMEOUT_MS, ...options };
    // A connection that ends has nothing left that could be acknowledged.
    const ofOne = (connection: LiveConnection<A, M>): Promise<void> =>
      connection.drain(call).catch((error: unknown) => {
        if (!P2PError.is(error, 'disconnected')) throw error;
      });
    return markHandled(Promise.all([...this.#connections.index.values()].map(ofOne)).then(() => undefined));
  }

  close(options: CloseOptions = {}): Promise<void> {
    const code = checkCode(options.code ?? CLOSE_CODE.NORMAL, 'code');
    if (!this.#latch.isClosed) this.#closing = { code, reason: options.reason ?? 'closed' };
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { limits, maxEndpointBytes } = this.#parts.resolved;
    return {
      limits: { ...limits, maxEndpointBytes },
      state: { ...this.#connections.state, readableConnections: this.#inbox.size },
      inner: [inspect(this.#parts.inner)],
    };
  }

  #hooks(): EndpointConnectionsHooks<A, M> {
    return {
      format: this.#parts.format,
      counters: this.#counters,
      waits: this.#waits,
      inbox: this.#inbox,
      connected: (connection) => {
        if (connection.side === 'initiator') {
          this.#untaken.add(connection);
          this.#accepted.wake();
        }
        this.#events.emit({ type: 'connected', connection });
      },
      disconnected: (connection) => {
        this.#untaken.delete(connection);
        this.#events.emit({ type: 'disconnected', connection, closed: connection.closeReason! });
      },
      closedError: (what) => (this.#latch.isClosed ? this.#latch.error(what) : undefined),
      failed: (bug) => this.#latch.fail(bug),
      later: (act) =>
        later(this.realm, () => {
          if (!this.#latch.isClosed) act();
        }),
    };
  }

  #takeAccepted(): QuicConnection<A, M> | undefined {
    const [first] = this.#untaken;
    if (first !== undefined) this.#untaken.delete(first);
    return first;
  }

  #feedEnd(): { readonly error?: unknown } | undefined {
    if (!this.#latch.isClosed) return undefined;
    const how = this.#latch.how;
    return how?.by === 'failure' ? { error: this.#latch.error('go on') } : {};
  }

  async #release(): Promise<void> {
    const { code, reason } = this.#closing;
    this.#connections.close(code, reason);
    this.#untaken.clear();
    this.#accepted.wake();
    this.#inbox.close();
    this.#events.wake();
    this.#endSignal.abort(this.#latch.error('go on'));
    this.#waits.close(this.#latch.how?.cause);
    if (!this.#parts.keepInner) await this.#parts.inner.close();
  }
}
