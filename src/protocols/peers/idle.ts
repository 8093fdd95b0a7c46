/** When a session that nobody wants is let go. Source: docs/wire/peers.md §§7, 8. */

import type { Millis } from '../../base/machine.ts';

/** How long a transport that carries something keeps an idle session, at most. */
const MAX_LOOK_MS = 5000;

export class Idle {
  readonly #idleMs: number;
  /** What the transport had carried at the last look, and until when that counts as use. */
  #progress = 0;
  #movedUntilMs: Millis = -Infinity;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  /** When the session is idle, after its last message. */
  atMs(usedMs: Millis): Millis {
    return Math.max(usedMs + this.#idleMs, this.#movedUntilMs);
  }

  /** Whether the transport has carried something: messages of the peer that have not come whole. Then it is looked again later. */
  hasMoved(now: Millis, progress: number): boolean {
    if (progress === this.#progress) return false;
    this.#progress = progress;
    this.#movedUntilMs = now + Math.min(this.#idleMs / 10, MAX_LOOK_MS);
    return true;
  }
}
