/** Whether the peer of a connection is alive, and whether the connection is idle. Source: docs/wire/tcp.md §7. */

import { type Millis } from '../../base/machine.ts';
import { PING_AFTER_MS, PING_TIMEOUT_MS } from './constants.ts';

/** However short the idle timeout, it is not looked at more often. */
const MIN_WATCH_MS = 10;

/** What a look at a connection found. */
export type Health =
  | { readonly type: 'alive' }
  /** Nothing has been said for as long as the idle timeout. */
  | { readonly type: 'idle' }
  /** The peer is silent while something is awaited from it: it is to be asked for a word. */
  | { readonly type: 'silent' }
  | { readonly type: 'dead'; readonly why: string };

/** What is under way on the connection that is looked at. */
export interface Activity {
  /** Whether nothing is under way in either direction. */
  readonly isQuiet: boolean;
  /** Whether bytes were given out that are not in the kernel. */
  readonly isSending: boolean;
  /** Whether this side does not read, for want of memory. */
  readonly isHeld: boolean;
}

export class Liveness {
  readonly #idleTimeoutMs: number;
  /** When something last came, and when a message last came or went. */
  #heardMs: Millis;
  #saidMs: Millis;
  /** When bytes were first seen under way of which nothing has got out since. */
  #stuckSinceMs: Millis | undefined;
  #isPinged = false;

  constructor(idleTimeoutMs: number, now: Millis) {
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#heardMs = this.#saidMs = now;
  }

  /** When a message last came or went. */
  get saidMs(): Millis {
    return this.#saidMs;
  }

  /** Something has come. */
  heard(now: Millis): void {
    this.#heardMs = now;
    this.#isPinged = false;
  }

  /** A message has come or gone. */
  said(now: Millis): void {
    this.#saidMs = now;
  }

  /** Something that was given out is in the kernel. */
  flushed(): void {
    this.#stuckSinceMs = undefined;
  }

  /** When to look again: at the end of a silence or of the idle timeout, or in a while where both are past. */
  nextLookMs(now: Millis): Millis {
    const silentAtMs = this.#heardMs + PING_AFTER_MS + (this.#isPinged ? PING_TIMEOUT_MS : 0);
    const at = Math.min(silentAtMs, this.#saidMs + this.#idleTimeoutMs);
    return at > now ? at : now + Math.max(Math.min(PING_AFTER_MS, this.#idleTimeoutMs), MIN_WATCH_MS);
  }

  look(now: Millis, { isQuiet, isSending, isHeld }: Activity): Health {
    // Who does not read hears nothing: that is not the peer's silence.
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
