/**
 * Checks whether the peer of a connection is alive, and whether the connection is idle. Source: docs/wire/tcp.md §7.
 */

import type { Millis } from '../../base/machine.ts';
import { PING_AFTER_MS, PING_TIMEOUT_MS } from './constants.ts';

/** The minimum check interval, however short the idle timeout is. */
const MIN_WATCH_MS = 10;

/** The result of a check. */
export type Health =
  | { readonly type: 'alive' }
  /** No message for the duration of the idle timeout. */
  | { readonly type: 'idle' }
  /** The peer is silent although something is expected from it: a ping must be sent. */
  | { readonly type: 'silent' }
  | { readonly type: 'dead'; readonly why: string };

/** The activity of the connection. */
export interface Activity {
  /** Whether nothing is in progress in either direction. */
  readonly isQuiet: boolean;
  /** Whether transmitted bytes are not in the kernel. */
  readonly isSending: boolean;
  /** Whether this side does not read for lack of memory. */
  readonly isHeld: boolean;
}

export class Liveness {
  readonly #idleTimeoutMs: number;
  /** When bytes last arrived, and when a message was last sent or received. */
  #heardMs: Millis;
  #saidMs: Millis;
  /** Since when unsent bytes have made no progress. */
  #stuckSinceMs: Millis | undefined;
  #isPinged = false;

  constructor(idleTimeoutMs: number, now: Millis) {
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#heardMs = this.#saidMs = now;
  }

  /** When the last message was sent or received. */
  get saidMs(): Millis {
    return this.#saidMs;
  }

  /** Bytes have arrived. */
  heard(now: Millis): void {
    this.#heardMs = now;
    this.#isPinged = false;
  }

  /** A message was sent or received. */
  said(now: Millis): void {
    this.#saidMs = now;
  }

  /** Transmitted bytes are in the kernel. */
  flushed(): void {
    this.#stuckSinceMs = undefined;
  }

  /**
   * The time of the next check: at the end of a silence or of the idle timeout, or after an interval when both have
   * passed.
   */
  nextLookMs(now: Millis): Millis {
    const silentAtMs = this.#heardMs + PING_AFTER_MS + (this.#isPinged ? PING_TIMEOUT_MS : 0);
    const at = Math.min(silentAtMs, this.#saidMs + this.#idleTimeoutMs);
    return at > now ? at : now + Math.max(Math.min(PING_AFTER_MS, this.#idleTimeoutMs), MIN_WATCH_MS);
  }

  look(now: Millis, { isQuiet, isSending, isHeld }: Activity): Health {
    // While this side does not read, silence is not the peer's fault.
    if (isHeld) this.heard(now);
    const silentMs = now - this.#heardMs;
    if (isSending) this.#stuckSinceMs ??= now;
    const stuckMs = now - (this.#stuckSinceMs ?? now);
    if (isQuiet) {
      this.#isPinged = false;
      return { type: now - this.#saidMs >= this.#idleTimeoutMs ? 'idle' : 'alive' };
    }
    const patienceMs = PING_AFTER_MS + PING_TIMEOUT_MS;
    if (this.#isPinged && silentMs >= patienceMs) return { type: 'dead', why: 'no answer to pings' };
    if (stuckMs >= patienceMs) return { type: 'dead', why: 'reads nothing' };
    if (silentMs < PING_AFTER_MS || this.#isPinged) return { type: 'alive' };
    this.#isPinged = true;
    return { type: 'silent' };
  }
}
