/** The peers of a connection manager, bounded, with a share for each network of those that dialled this node. */

import { SourceShares } from '../base/source-shares.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { PublicKey } from '../core/secure.ts';
import { KnownPeers } from '../sessions/known-peers.ts';
import type { LivePath } from './live-session.ts';
import { RemotePeer } from './remote-peer.ts';
import type { Transport } from './transport.ts';

/** The part of the peers that one network may be, of those that dialled this node. */
const SOURCE_SHARE = 1 / 4;

export class PeerTable {
  readonly #maxPeers: number;
  /** Bounded by maxPeers, and by the calls of the program. */
  readonly #peers = new Map<PeerId, RemotePeer>();
  /** Peers that dialled this node, by network. Bounded by maxPeers. */
  readonly #strangers = new SourceShares<PeerId>();
  /** Keys of peers that were connected. */
  readonly #known = new KnownPeers<PublicKey>();

  constructor(maxPeers: number) {
    this.#maxPeers = maxPeers;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** The paths on a transport. */
  pathsOn(transport: Transport): readonly LivePath[] {
    return [...this.values()].flatMap(({ paths }) => paths.get(transport) ?? []);
  }

  /** Peers whose session is kept, or has something under way. */
  get inUse(): readonly PeerId[] {
    return [...this.values()].filter(({ isInUse }) => isInUse).map(({ id }) => id);
  }

  values(): Iterable<RemotePeer> {
    return this.#peers.values();
  }

  get(id: PeerId): RemotePeer | undefined {
    return this.#peers.get(id);
  }

  /** The peer, added if it is not known. */
  add(id: PeerId): RemotePeer {
    let peer = this.#peers.get(id);
    if (peer === undefined) this.#peers.set(id, (peer = new RemotePeer(id)));
    return peer;
  }

  /** The key of a peer that is or was connected. */
  keyOf(id: PeerId): PublicKey | undefined {
    return this.#peers.get(id)?.publicKey ?? this.#known.get(id);
  }

  /** A peer has dialled this node. */
  addStranger(id: PeerId, host: string): void {
    this.#strangers.add(host, id);
  }

  /** Its session has ended. */
  removeStranger(id: PeerId): void {
    this.#strangers.delete(id);
  }

  /** Whether another peer may dial this node; one network has a quarter of the places, while half of all are taken. */
  hasRoom(host: string): boolean {
    const { size } = this.#peers;
    const hasShare = this.#strangers.countOf(host) < Math.max(1, this.#maxPeers * SOURCE_SHARE);
    return size < this.#maxPeers && (size * 2 <= this.#maxPeers || hasShare);
  }

  /** Forgets a peer that nothing uses, except its key. */
  remove({ id, publicKey }: RemotePeer): void {
    if (publicKey !== undefined) this.#known.note(id, publicKey, id, false);
    this.#peers.delete(id);
    this.#strangers.delete(id);
  }

  clear(): void {
    this.#peers.clear();
  }
}
