/** Remembers the ids of sessions that have ended, as packets on their way may still name them. */

import { type Bytes, toHex } from '../base/bytes.ts';
import type { Millis } from '../base/machine.ts';

/** Eight for each of a thousand peers. */
const MAX_ENDED_SESSIONS = 8192;

export class EndedSessions {
  /** When another session of the same peer took its place; `undefined` for one that ended otherwise. Bounded by MAX_ENDED_SESSIONS. */
  readonly #ended = new Map<string, Millis | undefined>();

  has(session: Bytes): boolean {
    return this.#ended.has(toHex(session));
  }

  /** How long ago another session took the place of this one. */
  supersededMs(now: Millis, session: Bytes): number | undefined {
    const atMs = this.#ended.get(toHex(session));
    return atMs === undefined ? undefined : now - atMs;
  }

  add(session: Bytes, supersededMs?: Millis): void {
    const id = toHex(session);
    if (this.#ended.get(id) !== undefined) return;
    this.#ended.set(id, supersededMs);
    if (this.#ended.size > MAX_ENDED_SESSIONS) this.#ended.delete(this.#ended.keys().next().value!);
  }
}
