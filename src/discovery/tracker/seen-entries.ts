/** What a reader of a tracker has seen, so that an older state is noticed. */

import type { PeerId } from '../../core/peer-id.ts';
import { expiryOf, type TrackerAddr, type TrackerState } from '../../protocols/cell/tracker-state.ts';

/** Peers that are remembered; those that were seen longest ago are forgotten first. */
const MAX_REMEMBERED = 16_384;

/** The newest known announcement of each peer, while it holds. */
export class SeenEntries {
  /** Bounded by MAX_REMEMBERED. */
  readonly #seen = new Map<PeerId, readonly TrackerAddr[]>();

  /**
   * Takes what was read.
   *
   * @returns the newer entries of both, and the peers whose entries are older than what was seen before. One that is left out may have been withdrawn.
   */
  merge(read: TrackerState, nowMs: number): { readonly state: TrackerState; readonly older: readonly PeerId[] } {
    const state = new Map(read);
    const older: PeerId[] = []; // Bounded by the state.
    for (const [id, addrs] of read) {
      const known = this.#seen.get(id);
      if (known !== undefined && holds(known, nowMs) && newestOf(known) > newestOf(addrs)) {
        older.push(id);
        state.set(id, known);
        continue;
      }
      this.#seen.delete(id);
      if (addrs.length > 0) this.#seen.set(id, addrs);
    }
    for (const id of this.#seen.keys()) {
      if (this.#seen.size <= MAX_REMEMBERED) break;
      this.#seen.delete(id);
    }
    return { state, older };
  }

  /** Whether an entry that this client has written, and which holds, is missing in what was read. Says so once. */
  misses(read: TrackerState, own: PeerId, nowMs: number): boolean {
    const known = this.#seen.get(own);
    if (known === undefined || read.has(own) || !holds(known, nowMs)) return false;
    this.#seen.delete(own);
    return true;
  }

  /** Forgets a peer: its entry was taken out on purpose. */
  forget(id: PeerId): void {
    this.#seen.delete(id);
  }
}

/** When the newest of the addresses was announced; -Infinity when there are no addresses. */
export const newestOf = (addrs: readonly TrackerAddr[]): number => Math.max(...addrs.map(({ atMs }) => atMs));

const holds = (addrs: readonly TrackerAddr[], nowMs: number): boolean => addrs.some((each) => expiryOf(each) > nowMs);
