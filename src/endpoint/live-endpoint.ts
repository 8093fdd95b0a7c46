/** An endpoint in use: the calls of the application, on the connections. */

import { noneAnswered } from './errors.ts';
import { bestAddr } from '../core/text-addrs.ts';
import { type Addr } from '../core/addr.ts';
import { type Counters } from '../core/counters.ts';
import { type Describes, inspect, type LayerDescription } from '../core/inspect.ts';
import { P2PError } from '../core/errors.ts';
import { assertString, quantity, wholeNumber } from '../base/checks.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import { type Realm } from '../core/realm.ts';
import { type PublicKey } from '../core/secure.ts';
import { type CallOptions, type Closed, type Swarm } from '../core/swarm.ts';
import { retry } from '../runtime/retry.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import { later } from '../runtime/later.ts';
import { markHandled, RESOLVED, rejection } from '../runtime/promises.ts';
import { checkCall, Waits } from '../runtime/waits.ts';
import { checkCode } from '../protocols/quic/stream.ts';
import { type DialWaiter } from '../sessions/dials.ts';
import { type MakeEndpoint } from '../quic/quic-driver.ts';
import { CLOSE_CODE } from './codes.ts';
import { type CloseOptions, type Connection, type SendOptions } from './connection.ts';
import { type Tracking } from './connection-hooks.ts';
import {
  type ConnectTarget,
  type ConnectOptions,
  type ConnectToAnyOptions,
  type Endpoint,
  type EventFeed,
  type EventOptions,
  type PeerTarget,
  type SendToOptions,
} from './endpoint.ts';
import { Deliveries } from './deliveries.ts';
import { EventSubscribers } from './events.ts';
import { type Feed, type FeedOptions, LiveFeed } from './feed.ts';
import { EndpointConnections, type EndpointConnectionsHooks } from './connections.ts';
import { LiveConnection } from './live-connection.ts';
import { type IncomingMessage } from './incoming-message.ts';
import { type OutgoingMessage, partsOf } from './message.ts';
import { type EndpointRetry, type ResolvedEndpointOptions, resolveRetry } from './options.ts';
import { Race } from './race.ts';
import { describeTarget, nameOf, type Target, targetOf } from './targets.ts';

/** How long a drain waits unless the call says otherwise. */
const DRAIN_TIMEOUT_MS = 30_000;
/** Attempts of `connectToAny` at a time. */
const MAX_PARALLEL = 8;

/** Who an endpoint is, and what it stands on. */
export interface EndpointParts<A extends Addr> {
  readonly inner: Swarm<A>;
  readonly resolved: ResolvedEndpointOptions<A>;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  readonly keepInner: boolean;
  readonly makeEndpoint: MakeEndpoint;
}

export class LiveEndpoint<A extends Addr> implements Endpoint<A>, Describes {
  readonly realm: Realm;
  readonly publicKey: PublicKey;
  readonly peerId: PeerId;
  readonly #parts: EndpointParts<A>;
  readonly #connections: EndpointConnections<A>;
  readonly #counters: CounterSet;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #events: EventSubscribers<A>;
  readonly #deliveries: Deliveries<A>;
  /** Accepted and not taken, in order. Bounded by `maxConnections`: who ends is taken out. */
  readonly #untaken = new Set<LiveConnection<A>>();
  /** Connections with messages that can be taken, each in its turn. Bounded by those that are open or linger. */
  readonly #ready = new Set<LiveConnection<A>>();
  /** Bounded by those who iterate. */
  readonly #connectionFeeds = new Set<LiveFeed<Connection<A>>>();
  readonly #messageFeeds = new Set<LiveFeed<IncomingMessage<Connection<A>>>>();
  /** Fires when the endpoint closes. */
  readonly #endSignal = new AbortController();
  #closing: { readonly code: number; readonly reason: string } = { code: CLOSE_CODE.NORMAL, reason: 'closed' };

  constructor(parts: EndpointParts<A>) {
    const { inner, resolved } = parts;
    this.#parts = parts;
    this.realm = inner.realm;
    this.publicKey = parts.publicKey;
    this.peerId = parts.peerId;
    this.#counters = new CounterSet('endpoint', inner.counters);
    this.#waits = new Waits(this.realm);
    this.#latch = new CloseLatch({ realm: this.realm, layer: 'endpoint', release: () => this.#release() });
    this.#events = new EventSubscribers(this.#waits, () => this.#latch.isClosed);
    this.#deliveries = new Deliveries(this.#waits, this.#events);
    const hooks = { counters: this.#counters, waits: this.#waits, user: this.#user() };
    this.#connections = new EndpointConnections(inner, resolved, parts.peerId, hooks, parts.makeEndpoint);
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

  connect(target: ConnectTarget<A> | A | string, options: ConnectOptions = {}): Promise<Connection<A>> {
    const resolved = this.#target(target, options.expect);
    checkCall(options);
    if (options.serverName !== undefined) assertString(options.serverName, 'serverName');
    const tries = this.#tries(options);
    if (resolved instanceof P2PError) return rejection(resolved);
    return this.#retrying(tries, options.signal, () => this.#connect(resolved, options));
  }

  connectToAny(
    candidates: readonly (ConnectTarget<A> | A | string)[],
    options: ConnectToAnyOptions = {},
  ): Promise<Connection<A>> {
    if (!Array.isArray(candidates)) throw new TypeError('Cannot take candidates: expected a list of addresses');
    if (candidates.length === 0)
      throw new RangeError('Cannot take candidates: expected at least one address, got none');
    checkCall(options);
    const targets = candidates.map((candidate) => this.#target(candidate, options.expect));
    const names = candidates.map((candidate, i) => nameOf(targets[i]!, candidate));
    const staggerMs = quantity(options.staggerMs, 'staggerMs', 0, 0, Number.MAX_SAFE_INTEGER);
    const maxParallel = wholeNumber(options.maxParallel, 'maxParallel', MAX_PARALLEL, 1, 2 ** 20);
    const timeoutMs = options.timeoutMs ?? this.#parts.resolved.connectTimeoutMs;
    const tries = this.#tries(options);
    const what = (): string => `connect to any of ${names.length} addresses`;
    const fresh = this.#isFresh(options);
    const call = { what, call: { signal: options.signal }, defaultTimeoutMs: Infinity, sent: (): 'no' => 'no' };
    const once = (): Promise<Connection<A>> => {
      const found = fresh ? undefined : this.#pooled(targets);
      if (found !== undefined && !this.#latch.isClosed) return Promise.resolve(found);
      return this.#waits.wait<Connection<A>>(call, (wait) => {
        const race = new Race<A>({
          realm: this.realm,
          staggerMs,
          maxParallel,
          timeoutMs,
          candidates: names,
          attempt: (index, waiter) => this.#dial(targets[index]!, options, waiter),
          won: wait.resolve,
          lost: (errors) => wait.reject(this.#latch.isClosed ? this.#latch.error(what()) : noneAnswered(names, errors)),
        });
        race.start();
        return () => race.stop();
      });
    };
    return this.#retrying(tries, options.signal, once);
  }

  connections(options?: FeedOptions): Feed<Connection<A>> {
    const feed = new LiveFeed<Connection<A>>(
      {
        what: 'connections of the endpoint',
        waits: this.#waits,
        take: () => takeFirst(this.#untaken),
        ended: () => this.#feedEnd(),
        left: (left) => this.#connectionFeeds.delete(left),
      },
      options,
    );
    this.#connectionFeeds.add(feed);
    return feed;
  }

  messages(options?: FeedOptions): Feed<IncomingMessage<Connection<A>>> {
    const feed = new LiveFeed<IncomingMessage<Connection<A>>>(
      {
        what: 'messages of the endpoint',
        waits: this.#waits,
        take: () => this.#takeMessage(),
        ended: () => this.#feedEnd(),
        left: (left) => this.#messageFeeds.delete(left),
      },
      options,
    );
    this.#messageFeeds.add(feed);
    return feed;
  }

  events(options?: EventOptions): EventFeed<A> {
    return this.#events.listen(options);
  }

  send(peer: PeerTarget<A>, message: OutgoingMessage, options: SendToOptions = {}): Promise<void> {
    partsOf(message);
    checkCall(options);
    const tries = this.#tries(options);
    return this.#deliveries.deliver(message, options.token, (tracking) =>
      this.#retrying(tries, options.signal, () => this.#sendOnce(peer, message, options, tracking)),
    );
  }

  trySend(
    peer: PeerTarget<A>,
    message: OutgoingMessage,
    options: SendOptions & { readonly token?: unknown } = {},
  ): Promise<void> {
    partsOf(message);
    checkCall(options);
    const connection = this.#connectionOf(peer);
    return this.#deliveries.deliver(message, options.token, (tracking) => {
      if (connection !== undefined) return connection.sendTracked(message, options, tracking);
      const what = `try to send to ${peerName(peer)}`;
      if (this.#latch.isClosed) return rejection(this.#latch.error(what));
      const why = `Cannot ${what}: there is no connection; send() makes one`;
      return rejection(new P2PError('unreachable', 'local', why, { sent: 'no' }));
    });
  }

  connectionTo(peer: PeerTarget<A>): Connection<A> | undefined {
    return this.#connectionOf(peer);
  }

  openConnections(): readonly Connection<A>[] {
    return [...this.#connections.index.values()];
  }

  disconnectFrom(peer: PeerTarget<A>, options: CloseOptions = {}): Promise<number> {
    checkCode(options.code ?? CLOSE_CODE.NORMAL, 'code');
    // The list shrinks as they close.
    const all = [...this.#connectionsOf(peer)];
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
    const ofOne = (connection: LiveConnection<A>): Promise<void> =>
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
      state: { ...this.#connections.state, readableConnections: this.#ready.size },
      inner: [inspect(this.#parts.inner)],
    };
  }

  #tries({ retry: own }: ConnectOptions): EndpointRetry | undefined {
    return own === undefined ? this.#parts.resolved.retry : resolveRetry(own);
  }

  #isFresh(options: ConnectOptions): boolean {
    return options.fresh ?? !this.#parts.resolved.pool;
  }

  #target(target: ConnectTarget<A> | A | string, expect: PeerId | undefined): Target<A> | P2PError {
    const resolved = targetOf(target, expect, (text) => this.parseAddr(text));
    if (resolved instanceof P2PError || resolved.expect === undefined || !this.#parts.resolved.qp2p) return resolved;
    throw new TypeError("Cannot take expect: compat: 'qp2p' authenticates nobody");
  }

  /** Begins to connect. Answers what gives up waiting. */
  #dial(target: Target<A> | P2PError, options: ConnectOptions, waiter: DialWaiter<LiveConnection<A>>): () => void {
    if (target instanceof P2PError) waiter(target);
    else if (this.#latch.isClosed) waiter(this.#latch.error(`connect to ${describeTarget(target)}`));
    else {
      const { serverName } = options;
      return this.#connections.connect({ ...target, serverName, fresh: this.#isFresh(options) }, waiter);
    }
    return () => {};
  }

  #connect(target: Target<A>, options: ConnectOptions): Promise<Connection<A>> {
    const what = (): string => `connect to ${describeTarget(target)}`;
    const wait = {
      what,
      call: options,
      defaultTimeoutMs: this.#parts.resolved.connectTimeoutMs,
      sent: (): 'no' => 'no',
    };
    return this.#waits.wait<Connection<A>>(wait, ({ resolve, reject }) =>
      this.#dial(target, options, (result) => (result instanceof P2PError ? reject(result) : resolve(result))),
    );
  }

  #sendOnce(
    peer: PeerTarget<A>,
    message: OutgoingMessage,
    options: SendToOptions,
    tracking: Tracking | undefined,
  ): Promise<void> {
    const connection = this.#connectionOf(peer);
    if (connection !== undefined) return connection.sendTracked(message, options, tracking);
    const target = this.#targetOfPeer(peer, options.expect);
    if (target instanceof P2PError) return rejection(target);
    // Messages that wait for the same peer share a dial, with a pool and without.
    const shared = { ...options, fresh: false };
    return this.#deliveries.sendWhenConnected(describeTarget(target), message, options, tracking, (waiter) =>
      this.#dial(target, shared, waiter),
    );
  }

  #pooled(targets: readonly (Target<A> | P2PError)[]): LiveConnection<A> | undefined {
    for (const target of targets) {
      const found = target instanceof P2PError ? undefined : this.#connections.index.find(target);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #retrying<T>(tries: EndpointRetry | undefined, signal: AbortSignal | undefined, once: () => Promise<T>): Promise<T> {
    if (tries === undefined) return once();
    return retry(once, { ...tries, realm: this.realm, signal: this.#untilClosed(signal) });
  }

  /** A signal that also fires when the endpoint closes, so that no pause outlives it. */
  #untilClosed(signal: AbortSignal | undefined): AbortSignal {
    const own = this.#endSignal.signal;
    return signal === undefined ? own : AbortSignal.any([signal, own]);
  }

  /** All open connections that a call means. */
  #connectionsOf(peer: PeerTarget<A>): readonly LiveConnection<A>[] {
    if (peer instanceof LiveConnection) return peer.closeReason === undefined ? [peer] : [];
    const { index } = this.#connections;
    if (isPeerId(peer)) return index.ofPeer(peer);
    const target = this.#targetOfPeer(peer, undefined);
    if (target instanceof P2PError) return [];
    return target.expect === undefined ? index.ofAddr(target.addr) : index.ofPeer(target.expect);
  }

  #connectionOf(peer: PeerTarget<A>): LiveConnection<A> | undefined {
    if (peer instanceof LiveConnection || isPeerId(peer)) return this.#connectionsOf(peer)[0];
    const target = this.#targetOfPeer(peer, undefined);
    return target instanceof P2PError ? undefined : this.#connections.index.find(target);
  }

  #targetOfPeer(peer: PeerTarget<A>, expect: PeerId | undefined): Target<A> | P2PError {
    if (isPeerId(peer)) {
      const addr = this.#connections.addrOf(peer);
      if (addr !== undefined) return { addr, expect: peer };
      const why = `Cannot send to ${peer}: no address of it is known; connect to it, or send to <PeerID>@<address>`;
      return new P2PError('unreachable', 'local', why, { sent: 'no' });
    }
    if (peer instanceof LiveConnection) {
      const what = `Cannot send to ${peer.id}: the connection has ended`;
      return new P2PError('disconnected', 'local', what, { sent: 'no' });
    }
    return this.#target(peer as ConnectTarget<A> | A | string, expect);
  }

  #takeMessage(): IncomingMessage<Connection<A>> | undefined {
    for (const connection of this.#ready) {
      this.#ready.delete(connection);
      const message = connection.ownReader ? undefined : connection.takeMessage();
      if (message === undefined) continue;
      // Behind the others: none can keep them from their turn.
      if (connection.unread > 0) this.#ready.add(connection);
      return message;
    }
    return undefined;
  }

  #feedEnd(): { readonly error?: unknown } | undefined {
    if (!this.#latch.isClosed) return undefined;
    const how = this.#latch.how;
    return how?.by === 'failure' ? { error: this.#latch.error('go on') } : {};
  }

  #user(): EndpointConnectionsHooks<A> {
    return {
      connected: (connection) => {
        if (connection.side === 'initiator') {
          this.#untaken.add(connection);
          for (const feed of this.#connectionFeeds) feed.wake();
        }
        this.#events.emit({ type: 'connected', connection });
      },
      disconnected: (connection) => {
        this.#untaken.delete(connection);
        this.#events.emit({ type: 'disconnected', connection, closed: connection.closeReason! });
      },
      wake: (connection) => {
        if (connection.ownReader) return;
        // One that has ended, and whose messages were given up, must not stay here.
        if (connection.unread === 0) this.#ready.delete(connection);
        else this.#ready.add(connection);
        for (const feed of this.#messageFeeds) feed.wake();
      },
      closedError: (what) => (this.#latch.isClosed ? this.#latch.error(what) : undefined),
      failed: (bug) => this.#latch.fail(bug),
      later: (act) =>
        later(this.realm, () => {
          if (!this.#latch.isClosed) act();
        }),
    };
  }

  async #release(): Promise<void> {
    const { code, reason } = this.#closing;
    this.#connections.close(code, reason);
    this.#ready.clear();
    this.#untaken.clear();
    for (const feed of this.#connectionFeeds) feed.wake();
    for (const feed of this.#messageFeeds) feed.wake();
    this.#events.wake();
    this.#endSignal.abort(this.#latch.error('go on'));
    this.#waits.close(this.#latch.how?.cause);
    if (!this.#parts.keepInner) await this.#parts.inner.close();
  }
}

function takeFirst<T>(set: Set<T>): T | undefined {
  for (const first of set) {
    set.delete(first);
    return first;
  }
  return undefined;
}

function peerName(peer: unknown): string {
  return peer instanceof LiveConnection
    ? peer.id
    : String(typeof peer === 'object' && peer !== null && 'addr' in peer ? peer.addr : peer);
}
