/** Spreads bytes over time: sends bursts with pauses between them, in order of request. */

import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** The rate of a pacer. */
export interface PacerOptions {
  readonly realm: Realm;
  /** Bytes between two pauses; `Infinity`: no pauses. */
  readonly burstBytes: number;
  readonly pauseMs: number;
}

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
  readonly fail: (error: unknown) => void;
}

/** Shared by all senders on one swarm. */
export class Pacer {
  readonly #options: PacerOptions;
  #spentBytes = 0;
  #untilMs = -Infinity;
  /** Bounded by the pending calls. */
  #waiting: Waiting[] = [];
  #timer: Timer | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  /** Returns `undefined` when `bytes` may be sent now, else a promise that resolves when they may. */
  turn(bytes: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#take(bytes)) return undefined;
    this.#arm();
    return new Promise((go, fail) => void this.#waiting.push({ bytes, go, fail }));
  }

  /** Rejects all waiting calls. */
  close(error: unknown): void {
    this.#timer?.cancel();
    for (const { fail } of this.#waiting) fail(error);
    this.#waiting = [];
  }

  #take(bytes: number): boolean {
    const { realm, burstBytes, pauseMs } = this.#options;
    if (burstBytes === Infinity) return true;
    const nowMs = realm.nowMs();
    if (nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + pauseMs;
      this.#spentBytes = 0;
    }
    if (this.#spentBytes >= burstBytes) return false;
    this.#spentBytes += bytes;
    return true;
  }

  #arm(): void {
    this.#timer ??= clockOf(this.#options.realm).setTimer(this.#untilMs, () => {
      this.#timer = undefined;
      let gone = 0;
      for (const { bytes, go } of this.#waiting) {
        if (!this.#take(bytes)) break;
        gone++;
        go();
      }
      this.#waiting = this.#waiting.slice(gone);
      if (this.#waiting.length > 0) this.#arm();
    });
  }
}
