/** The peers of a LAN as candidates, for one call that waits for more of them. */

import type { Candidate } from '../core/candidate.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { Realm, Timer } from '../core/realm.ts';
import type { LanPeer } from '../protocols/beacon/lan-peers.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** How long a call without a signal waits: the queries at 0, 0.5 and 1.5 s, and their answers. */
const WAIT_MS = 2000;
/** Candidates that wait for a slow caller, and those that it was given: each is given once. */
const MAX_CANDIDATES = 1024;

export class PeerFeed implements Disposable {
  readonly #id: PeerId | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: Timer | undefined;
  /** Bounded by {@link MAX_CANDIDATES}: what comes on top is not given. */
  readonly #given = new Set<string>();
  /** Bounded as the above. */
  readonly #queue: Candidate[] = [];
  #wake: (() => void) | undefined;
  #isOver = false;

  constructor(realm: Realm, id: PeerId | undefined, signal: AbortSignal | undefined) {
    this.#id = id;
    this.#signal = signal;
    if (signal === undefined) this.#timer = clockOf(realm).setTimer(realm.nowMs() + WAIT_MS, this.#end);
    else if (signal.aborted) this.#isOver = true;
    else signal.addEventListener('abort', this.#end);
  }

  push({ id, addrs, seenMs, expiresMs }: LanPeer): void {
    if (this.#id !== undefined && this.#id !== id) return;
    for (const addr of addrs) {
      const key = `${id} ${addr}`;
      if (this.#given.has(key) || this.#given.size >= MAX_CANDIDATES) continue;
      this.#given.add(key);
      this.#queue.push({ id, addr, source: 'lan', seenMs, expiresMs, trust: 'given' });
    }
    this.#wake?.();
  }

  async *candidates(): AsyncGenerator<Candidate> {
    for (;;) {
      if (this.#signal?.aborted === true) return;
      const next = this.#queue.shift();
      if (next !== undefined) yield next;
      else if (this.#isOver) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#signal?.removeEventListener('abort', this.#end);
    this.#end();
  }

  readonly #end = (): void => {
    this.#isOver = true;
    this.#wake?.();
  };
}
