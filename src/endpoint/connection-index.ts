/** The connections of an endpoint, by peer and by address. */

import type { Addr } from '../core/addr.ts';
import type { PeerId } from '../core/peer-id.ts';
import { KeyedLists } from '../sessions/keyed-lists.ts';
import type { LiveConnection } from './live-connection.ts';
import type { PeerTable } from './peer-table.ts';
import type { Target } from './targets.ts';

/** Connections by peer, and by address for peers without a PeerID. */
export class ConnectionIndex<A extends Addr, M> {
  readonly #byPeer: PeerTable<A, M>;
  /** The oldest is used first. Bounded by the endpoint's `maxConnections`. */
  readonly #byAddr = new KeyedLists<string, LiveConnection<A, M>>();

  constructor(byPeer: PeerTable<A, M>) {
    this.#byPeer = byPeer;
  }

  get size(): number {
    return this.#byAddr.size;
  }

  values(): Iterable<LiveConnection<A, M>> {
    return this.#byAddr.values();
  }

  ofPeer(peer: PeerId): readonly LiveConnection<A, M>[] {
    return this.#byPeer.all(peer);
  }

  ofAddr(addr: A): readonly LiveConnection<A, M>[] {
    return this.#byAddr.all(addr.text);
  }

  /** The connection to use for a target. */
  find({ addr, expect }: Target<A>): LiveConnection<A, M> | undefined {
    const found = expect === undefined ? this.#byAddr.first(addr.text) : this.#byPeer.current(expect);
    // Of several connections with one peer both sides use the same.
    return found?.peerId === undefined ? found : this.#byPeer.current(found.peerId);
  }

  /** Adds a connection, and gives the one to use to the calls that wait for it. */
  add(added: LiveConnection<A, M>): void {
    this.#insert(added);
    const { connection, peerId } = added;
    if (peerId === undefined) {
      const dial = this.#byPeer.dials.take(connection);
      if (dial !== undefined) this.#byPeer.dials.settle(dial, added);
    } else this.#byPeer.add(added, connection);
  }

  /** The peer has another address now. */
  moved(connection: LiveConnection<A, M>): void {
    if (this.#byAddr.delete(connection)) this.#insert(connection);
  }

  /** @returns whether it was there */
  remove(connection: LiveConnection<A, M>): boolean {
    this.#byPeer.remove(connection);
    return this.#byAddr.delete(connection);
  }

  clear(): void {
    this.#byAddr.clear();
  }

  /** The first connection of an address stays first; a new one becomes the second. */
  #insert(connection: LiveConnection<A, M>): void {
    this.#byAddr.insert(connection.remoteAddr.text, connection, 1);
  }
}
