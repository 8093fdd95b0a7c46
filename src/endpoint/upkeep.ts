/** What an endpoint looks after from time to time, as long as it has connections. */

import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** How often in each deadline streams are looked at that stand still: they live a quarter longer at most. */
const LOOKS_PER_DEADLINE = 4;

/** What upkeep needs of its endpoint. */
export interface UpkeepHooks {
  readonly realm: Realm;
  readonly streamTimeoutMs: number;
  /** Resets streams that make no progress, and drops messages that are not taken. @returns whether streams or messages are left */
  look(): boolean;
}

export class Upkeep {
  readonly #hooks: UpkeepHooks;
  #timer: Timer | undefined;

  constructor(hooks: UpkeepHooks) {
    this.#hooks = hooks;
  }

  /** There is something to look after. Idempotent. */
  start(): void {
    if (this.#timer !== undefined) return;
    const { realm, streamTimeoutMs } = this.#hooks;
    const atMs = realm.nowMs() + Math.ceil(streamTimeoutMs / LOOKS_PER_DEADLINE);
    const look = (): void => {
      this.#timer = undefined;
      if (this.#hooks.look()) this.start();
    };
    this.#timer = clockOf(realm).setTimer(atMs, look, { background: true });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
