/** Detects a peer that sends no message for too long, or the bytes of a message too slowly. */

import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** What to watch. */
export interface SilenceWatchOptions {
  readonly realm: Realm;
  readonly idleTimeoutMs: number;
  readonly progressTimeoutMs: number;
  readonly minProgressBytes: number;
  /** Whether a message has begun but is incomplete. */
  readonly hasBegun: () => boolean;
  /** Whether this side has paused reading. */
  readonly isBusy: () => boolean;
  /** Called once when the time limit has passed. */
  readonly onSilence: () => void;
}

export class SilenceWatch {
  readonly #options: SilenceWatchOptions;
  #timer: Timer | undefined;
  #atMs = Infinity;
  /** When a message, or enough bytes of one, arrived last. */
  #aliveAtMs: number;
  #progressBytes = 0;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#aliveAtMs = options.realm.nowMs();
    this.#arm();
  }

  /** Restarts the time limit. */
  restart(): void {
    this.#aliveAtMs = this.#options.realm.nowMs();
  }

  /** Reports received bytes; `isMessage`: they complete a message. */
  took(bytes: number, isMessage: boolean): void {
    const { idleTimeoutMs, progressTimeoutMs } = this.#options;
    if (idleTimeoutMs === Infinity && progressTimeoutMs === Infinity) return;
    this.#progressBytes += bytes;
    if (isMessage || this.#progressBytes >= this.#options.minProgressBytes) {
      this.restart();
      this.#progressBytes = 0;
    }
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #deadline(): number {
    const { hasBegun, progressTimeoutMs, idleTimeoutMs } = this.#options;
    return this.#aliveAtMs + (hasBegun() ? progressTimeoutMs : idleTimeoutMs);
  }

  /** One timer; a deadline that has moved is checked when the timer fires. */
  #arm(): void {
    const atMs = this.#deadline();
    if (atMs === Infinity || atMs >= this.#atMs) return;
    this.#timer?.cancel();
    this.#atMs = atMs;
    this.#timer = clockOf(this.#options.realm).setTimer(atMs, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#atMs = Infinity;
    const nowMs = this.#options.realm.nowMs();
    if (this.#options.isBusy()) this.#aliveAtMs = nowMs;
    if (nowMs < this.#deadline()) this.#arm();
    else this.#options.onSilence();
  };
}
