/** Remembers a value per peer, by PeerID. */

import { SourceShares } from '../base/source-shares.ts';
import type { PeerId } from '../core/peer-id.ts';

/** The default number of remembered peers. */
export const MAX_KNOWN_PEERS = 4096;

/**
 * A bounded memory. When it is full, it forgets a peer of the source with the most entries among peers that dialled
 * this node and were not dialled by it, then the peer that was noted least recently.
 */
export class KnownPeers<V> {
  readonly #maxPeers: number;
  /** Least recently noted first. Bounded by `maxPeers`. */
  readonly #peers = new Map<PeerId, V>();
  /** Peers that were noted with a host. Bounded by `maxPeers`. */
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
   * Stores a peer as the most recent one.
   *
   * @param host - the peer's IP, or any text that identifies its location. The network that uses most of the memory
   * loses entries first.
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
