/** What is remembered of peers, by PeerID. */

import { SourceShares } from '../base/source-shares.ts';
import { type PeerId } from '../core/peer-id.ts';

/** Peers that are remembered unless told otherwise. */
export const MAX_KNOWN_PEERS = 4096;

/**
 * A bounded memory. Of peers that have dialled this node and were not dialled by it, the busiest source's are forgotten first,
 * then the peer that was noted longest ago.
 */
export class KnownPeers<V> {
  readonly #maxPeers: number;
  /** Longest noted first. Bounded by `maxPeers`. */
  readonly #peers = new Map<PeerId, V>();
  /** Peers that were noted with a host. Bounded by the same. */
  readonly #bySource = new SourceShares<PeerId>();

  constructor(maxPeers: number = MAX_KNOWN_PEERS) {
    this.#maxPeers = maxPeers;
  }

  get size(): number {
    return this.#peers.size;
  }

  get(id: PeerId): V | undefined {
    return this.#peers.get(id);
  }

  /**
   * Remembers a peer, as the newest.
   *
   * @param host - where it is: its IP, or any text that names the place. Its network gives way first when it has most of the memory.
   * @param isStranger - it counts for that network: it has dialled this node and was not dialled by it.
   */
  note(id: PeerId, value: V, host: string, isStranger: boolean): void {
    if (!this.#peers.delete(id) && this.#peers.size >= this.#maxPeers) {
      this.delete(this.#bySource.victimFor(host) ?? this.#peers.keys().next().value!);
    }
    this.#peers.set(id, value);
    if (isStranger) this.#bySource.add(host, id);
    else this.#bySource.delete(id);
  }

  delete(id: PeerId): void {
    this.#peers.delete(id);
    this.#bySource.delete(id);
  }

  clear(): void {
    this.#peers.clear();
    this.#bySource.clear();
  }
}
