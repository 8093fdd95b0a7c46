/** When a peer that was not reached is visited again: it may be reached without a newer record, when a relay is ready or a host less busy. */

import type { Millis } from '../base/machine.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm } from '../core/realm.ts';

/** After the first failure; it doubles with each further one. */
const FIRST_PAUSE_MS = 1000;
/** Half the lifetime of a record: a peer that is there has signed a newer one by then. */
const MAX_PAUSE_MS = 300_000;

interface Pause {
  readonly failures: number;
  /** No visit before this time. */
  readonly nextMs: Millis;
}

export class VisitPauses {
  /** Bounded by the owner: {@link VisitPauses.retain}. */
  readonly #pauses = new Map<PeerId, Pause>();

  /** Whether a peer may be visited now: no visit to it is under way, and the last one has not failed just now. */
  isDue(now: Millis, id: PeerId): boolean {
    return now >= (this.#pauses.get(id)?.nextMs ?? -Infinity);
  }

  /** Notes what comes of a visit. */
  async visit(realm: Realm, id: PeerId, visit: () => Promise<unknown>): Promise<void> {
    const failures = this.#pauses.get(id)?.failures ?? 0;
    this.#pauses.set(id, { failures, nextMs: Infinity });
    try {
      await visit();
      this.#pauses.delete(id);
    } catch (error) {
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** failures, MAX_PAUSE_MS);
      this.#pauses.set(id, { failures: failures + 1, nextMs: realm.nowMs() + pauseMs });
      throw error;
    }
  }

  /** Forgets all other peers. */
  retain(isKnown: (id: PeerId) => boolean): void {
    for (const id of this.#pauses.keys()) if (!isKnown(id)) this.#pauses.delete(id);
  }
}
