/** The connections of an endpoint: by the peer, and by the address. */

import { type Addr } from '../core/addr.ts';
import { type PeerId } from '../core/peer-id.ts';
import { type QuicConnection } from '../protocols/quic/connection.ts';
import { ConnectionTable } from '../quic/connection-table.ts';
import { prefersNew } from '../quic/rivalry.ts';
import { type LiveConnection } from './live-connection.ts';
import { type Target } from './targets.ts';

/** What became of a connection that was taken in. */
export interface Pooled<A extends Addr> {
  /** The one to use for its peer from now on. */
  readonly chosen: LiveConnection<A>;
  /** The one that another has replaced: its dialler may close it. */
  readonly replaced: LiveConnection<A> | undefined;
  /** One that is too many for its peer. */
  readonly surplus: LiveConnection<A> | undefined;
}

/** Both indices hold the same connections; whoever has no PeerID is in one. Bounded by the endpoint's `maxConnections`. */
export class Pool<A extends Addr> {
  readonly #byPeer: ConnectionTable<PeerId, LiveConnection<A>>;
  readonly #byAddr = new ConnectionTable<string, LiveConnection<A>>(Infinity);
  readonly #own: PeerId;

  constructor(own: PeerId, maxPerPeer: number) {
    this.#own = own;
    this.#byPeer = new ConnectionTable(maxPerPeer);
  }

  get size(): number {
    return this.#byAddr.size;
  }

  /** Peers that have one. */
  get peers(): number {
    return this.#byPeer.keys;
  }

  values(): Iterable<LiveConnection<A>> {
    return this.#byAddr.values();
  }

  ofPeer(peer: PeerId): readonly LiveConnection<A>[] {
    return this.#byPeer.all(peer);
  }

  ofAddr(addr: A): readonly LiveConnection<A>[] {
    return this.#byAddr.all(addr.text);
  }

  /** The one to use for a target. */
  find({ addr, expect }: Target<A>): LiveConnection<A> | undefined {
    const found = expect === undefined ? this.#byAddr.current(addr.text) : this.#byPeer.current(expect);
    // Of several with the peer that is there, both sides use the same one.
    return found?.peerId === undefined ? found : this.#byPeer.current(found.peerId);
  }

  /** Whether it is the one to use for its peer. */
  isCurrent(connection: LiveConnection<A>): boolean {
    const { peerId } = connection;
    return peerId === undefined || this.#byPeer.current(peerId) === connection;
  }

  /** Takes a connection in. One that was dialled `fresh` replaces none and is replaced by none. */
  add(added: LiveConnection<A>): Pooled<A> {
    this.#byAddr.add(added.remoteAddr.text, added, this.#byAddr.current(added.remoteAddr.text) === undefined);
    const { peerId } = added;
    if (peerId === undefined) return { chosen: added, replaced: undefined, surplus: undefined };
    const current = this.#byPeer.current(peerId);
    const preferred = current === undefined || (!added.fresh && prefersNew(this.#own, added, current));
    const surplus = this.#byPeer.add(peerId, added, preferred);
    const chosen = preferred || added.fresh ? added : current;
    const replaced = preferred ? current : added;
    return { chosen, replaced: replaced?.fresh === true ? undefined : replaced, surplus };
  }

  /** Its peer has moved. */
  moved(connection: LiveConnection<A>): void {
    if (!this.#byAddr.remove(connection.connection)) return;
    const { text } = connection.remoteAddr;
    this.#byAddr.add(text, connection, this.#byAddr.current(text) === undefined);
  }

  /** Takes it out of both; answers whether it was there. */
  remove(connection: QuicConnection): boolean {
    this.#byPeer.remove(connection);
    return this.#byAddr.remove(connection);
  }
}
