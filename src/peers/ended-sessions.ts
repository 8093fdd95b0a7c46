/** Remembers the ids of sessions that have ended, as packets on their way may still name them. */

import { type Bytes, toHex } from '../base/bytes.ts';
import type { Millis } from '../base/machine.ts';

/** Eight for each of a thousand peers. */
const MAX_ENDED_SESSIONS = 8192;

/** Another session of the same peer that took the place of one. */
export interface Successor {
  /** When that was here. */
  readonly atMs: Millis;
  /** The wall clock of the replaced session's process when that said hello. */
  readonly wallMs: Millis;
}

export class EndedSessions {
  /** What took its place; `undefined` for one that ended otherwise. Bounded by MAX_ENDED_SESSIONS. */
  readonly #ended = new Map<string, Successor | undefined>();

  has(session: Bytes): boolean {
    return this.#ended.has(toHex(session));
  }

  /** What took the place of this session; `undefined` when it ended otherwise, or is not known. */
  successor(session: Bytes): Successor | undefined {
    return this.#ended.get(toHex(session));
  }

  add(session: Bytes, successor?: Successor): void {
    const id = toHex(session);
    if (this.#ended.get(id) !== undefined) return;
    this.#ended.set(id, successor);
    if (this.#ended.size > MAX_ENDED_SESSIONS) this.#ended.delete(this.#ended.keys().next().value!);
  }
}
