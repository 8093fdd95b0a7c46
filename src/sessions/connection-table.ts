/** Connections by peer: chooses the one to use, closes surplus ones, and keeps the calls that wait for a dial. */

import { type Millis } from '../base/machine.ts';
import { type Side } from '../core/accept.ts';
import { P2PError } from '../core/errors.ts';
import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type Dial, DialTable, type DialWaiter } from './dials.ts';
import { KeyedLists } from './keyed-lists.ts';
import { KnownPeers } from './known-peers.ts';

/**
 * Two connections between the same peers that begin within this time were dialled at once: both sides keep the same one.
 * Source: docs/wire/tcp.md §1, docs/wire/quic.md.
 */
export const SIMULTANEOUS_MS = 5000;
/**
 * Connections with one peer that are kept. Two are there when both dial at once, more when a peer restarts again and again, or
 * dials one for each of its first messages, as go-p2p does.
 */
export const MAX_CONNECTIONS_PER_PEER = 4;
/** Connections with one peer at a time, surplus ones included that close when they are idle: a peer that opens more wants memory. */
export const MAX_CONNECTIONS_AT_ONCE = 128;
/**
 * How long a surplus connection stays open after the last message on it, or where none ever came: the first message may have
 * to be sent again.
 */
export const SURPLUS_IDLE_MS = 750;

/** A connection with a peer that has proven its key, as the table sees it. */
export interface PeerConnection {
  readonly peer: PeerId;
  /** What the peer is: `'responder'` when this node dialled it. */
  readonly side: Side;
  /** When it began, in realm time. */
  readonly sinceMs: Millis;
  /**
   * Since when no message is under way on it in either direction; `undefined` while a tell, an ask or a stream is open. A surplus
   * connection is closed some time after that and never before.
   */
  readonly idleSinceMs: Millis | undefined;
  /** The peer's IP, or any text that names where it is. */
  readonly host: string;
  /**
   * Where the peer is, as the transport tells places apart. Of two connections with different places the older one belongs to a
   * peer that was started again elsewhere. @default not compared
   */
  readonly place?: unknown;
  /** Of connections over several transports, the one with the highest rank is used. Both sides must rank alike. @default 0 */
  readonly rank?: number | undefined;
  /** It was dialled for one caller: it replaces none and is not replaced. @default false */
  readonly isExclusive?: boolean | undefined;
}

/** Why the table closes a connection. */
export type SurplusReason =
  /** Another one is used instead. */
  | 'replaced'
  /** The peer has more than are kept, and this one is idle. */
  | 'surplus'
  /** The peer has more than it may have at all. */
  | 'too_many';

/** What the owner of a table tells and does. */
export interface ConnectionTableOptions<C extends PeerConnection, T, H, V> {
  readonly realm: Realm;
  /** This node, to decide which of two simultaneous connections is kept. */
  readonly own: PeerId;
  /** The peer that a dial is for; `undefined` when it is not known, or the dial is not to be shared. */
  readonly expects: (target: T) => PeerId | undefined;
  /** What is remembered of a peer without a connection. */
  readonly remember: (connection: C) => V;
  /**
   * Another connection took the place of this one.
   *
   * @returns how long it has to be idle before it is closed, in ms; `undefined` when the peer or the protocol closes it.
   */
  readonly replaced: (connection: C) => number | undefined;
  /** How long a surplus connection has to be idle before it is closed, in ms. @default 750 */
  readonly surplusIdleMs?: ((connection: C) => number) | undefined;
  /** Closes a connection. `remove` is called when it is over. */
  readonly close: (connection: C, why: SurplusReason) => void;
  /** Told when the last caller that waits for a dial has given up. @default the dial goes on */
  readonly abandoned?: ((dial: Dial<T, C, H>) => void) | undefined;
  /** @default 4 */
  readonly maxPerPeer?: number | undefined;
  /** @default 128, or `maxPerPeer` where that is more */
  readonly maxAtOnce?: number | undefined;
  /** Peers without a connection that are remembered. @default 4096 */
  readonly maxKnown?: number | undefined;
}

/**
 * Which of two connections with a peer is used. Dialled at once from both sides: the one whose initiator has the smaller
 * PeerID, so that both sides choose the same. Otherwise the newer one: a peer that dials has none that works.
 *
 * @returns whether it is the new one.
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
 * Connections by peer. The transport says which connections there are (`add`, `remove`) and which dials are under way; the table
 * decides which connection of a peer is used, closes surplus ones once they are idle, and remembers peers that have gone.
 *
 * @typeParam C - a connection.
 * @typeParam T - what is dialled.
 * @typeParam H - what the transport knows a dial by.
 * @typeParam V - what is remembered of a peer: its key, or its address.
 */
export class ConnectionTable<C extends PeerConnection, T, H, V> {
  readonly dials: DialTable<T, C, H>;
  /** The connection to use, for each peer that has one. Bounded by the connections. */
  readonly inUse: ReadonlyMap<PeerId, C>;
  readonly #inUse = new Map<PeerId, C>();
  readonly #options: ConnectionTableOptions<C, T, H, V>;
  readonly #maxPerPeer: number;
  readonly #maxAtOnce: number;
  /** The one to use first, then by preference; retired ones come last. Bounded by the transport, and `maxAtOnce` for each peer. */
  readonly #connections = new KeyedLists<PeerId, C>();
  /** Over these nothing new goes. Bounded by the connections. */
  readonly #retired = new Set<C>();
  /** Replaced ones that are ours to close, with how long they have to be idle. Bounded by the connections. */
  readonly #replaced = new Map<C, number>();
  /** Closed by the table and not gone yet. Bounded by the connections. */
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

  /** What is known of a peer that has a connection, or had one lately. */
  recall(peer: PeerId): V | undefined {
    const first = this.#connections.first(peer);
    return first === undefined ? this.#known.get(peer) : this.#options.remember(first);
  }

  /**
   * Waits for the dial with this key, which `dial` begins where there is none.
   *
   * @param key - calls with the same one share the dial; `undefined`: it is not shared.
   * @param what - for error messages.
   * @returns cancels the wait
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
   * Takes a connection in, whose peer is proven and admitted. All calls that wait for its peer get the one to use.
   *
   * @param handle - of the dial that it comes from.
   * @returns the one to use for the peer.
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
    // Others may wait for the same peer at another of its addresses, or be dialling while it dialled us.
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

  /** Nothing new goes over a connection any more, and it is not used. It stays until it is removed. */
  retire(connection: C): void {
    if (this.#retired.has(connection) || !this.#connections.delete(connection)) return;
    const all = this.all(connection.peer);
    const index = all.findIndex((other) => this.#retired.has(other));
    this.#retired.add(connection);
    this.#connections.insert(connection.peer, connection, index < 0 ? all.length : index);
    this.#choose(connection.peer);
  }

  /** Forgets a connection that is over. @returns whether it was there */
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

  /** Forgets everything. Calls that wait for a dial get the error. The connections are the owner's to close. */
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

  /** Its first connection is the one to use, unless that is retired. */
  #choose(peer: PeerId): void {
    const first = this.#connections.first(peer);
    if (first === undefined || this.#retired.has(first)) this.#inUse.delete(peer);
    else this.#inUse.set(peer, first);
  }

  /** Where a connection belongs among those of its peer. */
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

  /** Closes one of more connections than a peer may have: the oldest idle one, else the new one, on which nothing is under way. */
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

  /** Closes what a peer has too much of and what was replaced, as far as it is idle; looks again when it may be. */
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
