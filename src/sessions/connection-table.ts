/** Connections by peer: chooses the one to use, closes surplus ones, and holds the calls that wait for a dial. */

import type { Millis } from '../base/machine.ts';
import type { Side } from '../core/accept.ts';
import { P2PError } from '../core/errors.ts';
import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type Dial, DialTable, type DialWaiter } from './dials.ts';
import { KeyedLists } from './keyed-lists.ts';
import { KnownPeers } from './known-peers.ts';

/**
 * Two connections between the same peers that begin within this time count as a simultaneous dial: both sides keep the
 * same one. Source: docs/wire/tcp.md §1, docs/wire/quic.md.
 */
export const SIMULTANEOUS_MS = 5000;
/**
 * The number of connections with one peer that are kept. Two exist after a simultaneous dial; more exist when a peer
 * restarts repeatedly, or dials one for each of its first messages, as go-p2p does.
 */
export const MAX_CONNECTIONS_PER_PEER = 4;
/**
 * The maximum of connections with one peer, including surplus ones that close when idle. It limits the memory that a
 * peer can use.
 */
export const MAX_CONNECTIONS_AT_ONCE = 128;
/**
 * How long a surplus connection stays open after its last message, or after its start if it had none: the first message
 * may have to be sent again.
 */
export const SURPLUS_IDLE_MS = 750;

/** What the table needs from a connection with an authenticated peer. */
export interface PeerConnection {
  readonly peer: PeerId;
  /** The role of the peer: `'responder'` when this node dialled it. */
  readonly side: Side;
  /** When it began, in realm time. */
  readonly sinceMs: Millis;
  /**
   * The time since which no message is in progress on it in either direction; `undefined` while a tell, an ask or a
   * stream is open. A surplus connection is closed only after it has been idle for some time.
   */
  readonly idleSinceMs: Millis | undefined;
  /** The peer's IP, or any text that identifies its location. */
  readonly host: string;
  /**
   * The peer's location, as the transport distinguishes locations. Of two connections with different places the older
   * one belongs to a peer that has restarted elsewhere. @default not compared
   */
  readonly place?: unknown;
  /**
   * Of connections over several transports, the one with the highest rank is used. Both sides must use the same ranks.
   * @default 0
   */
  readonly rank?: number | undefined;
  /** It was dialled for one caller: it replaces no connection and is not replaced. @default false */
  readonly isExclusive?: boolean | undefined;
}

/** Why the table closes a connection. */
export type SurplusReason =
  /** Another connection is used instead. */
  | 'replaced'
  /** The peer has more than `maxPerPeer` connections, and this one is idle. */
  | 'surplus'
  /** The peer has more than `maxAtOnce` connections. */
  | 'too_many';

/** What the owner of a table provides. */
export interface ConnectionTableOptions<C extends PeerConnection, T, H, V> {
  readonly realm: Realm;
  /** This node's PeerID; it decides which of two simultaneous connections is kept. */
  readonly own: PeerId;
  /** The peer that a dial is for; `undefined` when it is not known, or the dial is not shared. */
  readonly expects: (target: T) => PeerId | undefined;
  /** The value to remember for a peer without a connection. */
  readonly remember: (connection: C) => V;
  /**
   * Called when another connection replaces this one.
   *
   * @returns how long it must be idle before the table closes it, in ms; `undefined` when the peer or the protocol
   * closes it.
   */
  readonly replaced: (connection: C) => number | undefined;
  /** How long a surplus connection must be idle before it is closed, in ms. @default 750 */
  readonly surplusIdleMs?: ((connection: C) => number) | undefined;
  /** Closes a connection. The owner calls `remove` when it has closed. */
  readonly close: (connection: C, why: SurplusReason) => void;
  /** Called when the last waiter of a dial has cancelled. @default the dial continues */
  readonly abandoned?: ((dial: Dial<T, C, H>) => void) | undefined;
  /** @default 4 */
  readonly maxPerPeer?: number | undefined;
  /** @default 128, or `maxPerPeer` where that is more */
  readonly maxAtOnce?: number | undefined;
  /** Peers without a connection that are remembered. @default 4096 */
  readonly maxKnown?: number | undefined;
}

/**
 * Chooses between two connections with a peer. After a simultaneous dial: the one whose initiator has the smaller
 * PeerID, so that both sides choose the same. Otherwise the newer one: a peer that dials has no working connection.
 *
 * @returns whether the new one is used.
 */
export function prefersNew(own: PeerId, fresh: PeerConnection, current: PeerConnection): boolean {
  const [freshRank, currentRank] = [fresh.rank ?? 0, current.rank ?? 0];
  if (freshRank !== currentRank) return freshRank > currentRank;
  const crossed =
    fresh.side !== current.side && fresh.place === current.place && fresh.sinceMs - current.sinceMs < SIMULTANEOUS_MS;
  if (!crossed) return true;
  return comparePeerIds(own, fresh.peer) < 0 === (fresh.side === 'responder');
}

/**
 * Connections by peer. The transport reports connections (`add`, `remove`) and dials in progress; the table decides
 * which connection of a peer is used, closes surplus ones once they are idle, and remembers disconnected peers.
 *
 * @typeParam C - a connection.
 * @typeParam T - what is dialled.
 * @typeParam H - the transport's handle of a dial.
 * @typeParam V - the value remembered for a peer: its key, or its address.
 */
export class ConnectionTable<C extends PeerConnection, T, H, V> {
  readonly dials: DialTable<T, C, H>;
  /** The connection to use, for each peer that has one. Bounded by the connections. */
  readonly inUse: ReadonlyMap<PeerId, C>;
  readonly #inUse = new Map<PeerId, C>();
  readonly #options: ConnectionTableOptions<C, T, H, V>;
  readonly #maxPerPeer: number;
  readonly #maxAtOnce: number;
  /**
   * The one to use first, then in order of preference; retired ones are last. Bounded by the transport, and by
   * `maxAtOnce` per peer.
   */
  readonly #connections = new KeyedLists<PeerId, C>();
  /** Connections that take nothing new. Bounded by the connections. */
  readonly #retired = new Set<C>();
  /** Replaced connections that this side must close, with the required idle time. Bounded by the connections. */
  readonly #replaced = new Map<C, number>();
  /** Connections that the table is closing. Bounded by the connections. */
  readonly #closing = new Set<C>();
  /** Peers with several connections. Bounded by the connections. */
  readonly #crowded = new Set<PeerId>();
  readonly #known: KnownPeers<V>;
  #timer: Timer | undefined;
  #timerMs = Infinity;

  constructor(options: ConnectionTableOptions<C, T, H, V>) {
    this.inUse = this.#inUse;
    this.#options = options;
    this.#maxPerPeer = options.maxPerPeer ?? MAX_CONNECTIONS_PER_PEER;
    this.#maxAtOnce = options.maxAtOnce ?? Math.max(MAX_CONNECTIONS_AT_ONCE, this.#maxPerPeer);
    this.#known = new KnownPeers(options.maxKnown);
    this.dials = new DialTable(options.abandoned);
  }

  /** Connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Peers that have a connection. */
  get peers(): number {
    return this.#connections.lists;
  }

  /** Peers without a connection that are remembered. */
  get known(): number {
    return this.#known.size;
  }

  /** All connections, oldest first. */
  values(): Iterable<C> {
    return this.#connections.values();
  }

  has(connection: C): boolean {
    return this.#connections.has(connection);
  }

  /** All connections with a peer, the one to use first. */
  all(peer: PeerId): readonly C[] {
    return this.#connections.all(peer);
  }

  /** The connection to use for a peer, if there is one. */
  current(peer: PeerId): C | undefined {
    return this.#inUse.get(peer);
  }

  /** The remembered value of a peer that has a connection, or recently had one. */
  recall(peer: PeerId): V | undefined {
    const first = this.#connections.first(peer);
    return first === undefined ? this.#known.get(peer) : this.#options.remember(first);
  }

  /**
   * Waits for the dial with this key; `dial` begins it if there is none.
   *
   * @param key - calls with the same key share the dial; `undefined`: the dial is not shared.
   * @param what - for error messages.
   * @returns a function that cancels the wait
   */
  join(
    key: string | undefined,
    what: string,
    dial: () => Dial<T, C, H> | P2PError,
    waiter: DialWaiter<C>,
    maxWaiters?: number,
  ): () => void {
    const joined = (key === undefined ? undefined : this.dials.get(key)) ?? dial();
    if (!(joined instanceof P2PError)) return this.dials.join(joined, what, waiter, maxWaiters);
    waiter(joined);
    return () => {};
  }

  /**
   * Adds a connection whose peer is authenticated and admitted. All calls that wait for its peer get the connection to
   * use.
   *
   * @param handle - the handle of the dial that made it.
   * @returns the connection to use for the peer.
   */
  add(connection: C, handle?: H): C {
    const { peer, isExclusive = false } = connection;
    const current = this.current(peer);
    const index = this.#indexFor(connection);
    this.#connections.insert(peer, connection, index);
    this.#choose(peer);
    this.#known.delete(peer);
    const isPreferred = index === 0;
    const chosen = isPreferred || isExclusive ? connection : current!;
    const dial = handle === undefined ? undefined : this.dials.take(handle);
    // Others may wait for the same peer at another address, or be dialling while the peer dialled this node.
    for (const other of this.dials.values()) {
      if (this.#options.expects(other.target) === peer) this.dials.settle(other, chosen);
    }
    if (dial !== undefined) this.dials.settle(dial, chosen);
    const replaced = isPreferred ? current : connection;
    if (replaced !== undefined && replaced.isExclusive !== true) this.#replace(replaced);
    this.#bound(connection);
    this.#look(peer);
    return chosen;
  }

  /** Stops using a connection for anything new. It stays in the table until it is removed. */
  retire(connection: C): void {
    if (this.#retired.has(connection) || !this.#connections.delete(connection)) return;
    const all = this.all(connection.peer);
    const index = all.findIndex((other) => this.#retired.has(other));
    this.#retired.add(connection);
    this.#connections.insert(connection.peer, connection, index < 0 ? all.length : index);
    this.#choose(connection.peer);
  }

  /** Stops using all connections with a peer, so that the next message dials. @returns them, for the owner to close */
  retireAll(peer: PeerId): readonly C[] {
    const all = [...this.all(peer)];
    for (const connection of all) this.retire(connection);
    return all;
  }

  /** Removes a closed connection. @returns whether it was in the table */
  remove(connection: C): boolean {
    if (!this.#connections.delete(connection)) return false;
    const { peer, host, side } = connection;
    this.#retired.delete(connection);
    this.#choose(peer);
    this.#replaced.delete(connection);
    this.#closing.delete(connection);
    const { length } = this.all(peer);
    if (length < 2) this.#crowded.delete(peer);
    if (this.#crowded.size === 0) this.#disarm();
    if (length === 0) this.#known.note(peer, this.#options.remember(connection), host, side === 'initiator');
    return true;
  }

  /** Removes everything. Calls that wait for a dial get the error. The owner closes the connections. */
  clear(error: P2PError): void {
    this.#disarm();
    this.#connections.clear();
    this.#inUse.clear();
    this.#retired.clear();
    this.#replaced.clear();
    this.#closing.clear();
    this.#crowded.clear();
    this.#known.clear();
    this.dials.clear(error);
  }

  /** Uses the peer's first connection, unless it is retired. */
  #choose(peer: PeerId): void {
    const first = this.#connections.first(peer);
    if (first === undefined || this.#retired.has(first)) this.#inUse.delete(peer);
    else this.#inUse.set(peer, first);
  }

  /** The position of a connection in its peer's list. */
  #indexFor(fresh: C): number {
    const all = this.all(fresh.peer);
    const index = all.findIndex((other) => this.#retired.has(other) || (other.rank ?? 0) <= (fresh.rank ?? 0));
    const other = all[index];
    if (other === undefined) return all.length;
    if (this.#retired.has(other)) return index;
    return fresh.isExclusive !== true && prefersNew(this.#options.own, fresh, other) ? index : index + 1;
  }

  #replace(connection: C): void {
    const idleMs = this.#options.replaced(connection);
    if (idleMs !== undefined) this.#replaced.set(connection, idleMs);
  }

  /**
   * Closes one connection when a peer has more than its maximum: the oldest idle one, else the new one, which has
   * nothing in progress.
   */
  #bound(fresh: C): void {
    const open = this.all(fresh.peer).filter((each) => !this.#closing.has(each));
    if (open.length <= this.#maxAtOnce) return;
    const oldestIdle = open.findLast((each, index) => index > 0 && each !== fresh && each.idleSinceMs !== undefined);
    this.#close(oldestIdle ?? fresh, 'too_many');
  }

  #close(connection: C, why: SurplusReason): void {
    this.#closing.add(connection);
    this.#options.close(connection, why);
  }

  /** Closes idle surplus and replaced connections of a peer; runs again when another may have become idle. */
  #look(peer: PeerId): void {
    const open = this.all(peer).filter((each) => !this.#closing.has(each));
    const nowMs = this.#options.realm.nowMs();
    let surplus = open.length - this.#maxPerPeer;
    let nextMs = Infinity;
    for (let index = open.length - 1; index > 0; index--) {
      const connection = open[index]!;
      const replacedMs = this.#replaced.get(connection) ?? Infinity;
      const surplusMs = surplus > 0 ? (this.#options.surplusIdleMs?.(connection) ?? SURPLUS_IDLE_MS) : Infinity;
      const idleMs = Math.min(replacedMs, surplusMs);
      if (idleMs === Infinity) continue;
      const { idleSinceMs } = connection;
      const dueMs = idleSinceMs === undefined ? nowMs + SURPLUS_IDLE_MS : idleSinceMs + idleMs;
      if (dueMs > nowMs) nextMs = Math.min(nextMs, dueMs);
      else {
        surplus--;
        this.#close(connection, surplusMs <= replacedMs ? 'surplus' : 'replaced');
      }
    }
    if (nextMs === Infinity) this.#crowded.delete(peer);
    else {
      this.#crowded.add(peer);
      this.#arm(nextMs);
    }
  }

  #arm(atMs: Millis): void {
    if (atMs >= this.#timerMs) return;
    this.#disarm();
    this.#timerMs = atMs;
    const look = (): void => {
      this.#disarm();
      for (const peer of this.#crowded) this.#look(peer);
    };
    this.#timer = clockOf(this.#options.realm).setTimer(atMs, look, { background: true });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerMs = Infinity;
  }
}
