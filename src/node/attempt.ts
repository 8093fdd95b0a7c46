/** A connection being set up: from the first byte of TCP to the end of the handshake. */

import { P2PError } from '../core/errors.ts';
import type { RefusalReason } from './stats.ts';

/** One attempt. It is aborted at most once, with a reason. */
export class Attempt {
  /** The other end as `ip:port`. */
  readonly addr: string;
  readonly #abort = new AbortController();
  #reason: RefusalReason | undefined;

  constructor(addr: string) {
    this.addr = addr;
  }

  /** Aborted with the error of the attempt. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** @param reason - for the counters; `undefined` when the caller cancels or the node closes. */
  giveUp(reason: RefusalReason | undefined, error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#reason = reason;
    this.#abort.abort(error);
  }

  /** The reason to count when `error` has ended the attempt. */
  reasonOf(error: unknown): RefusalReason {
    if (this.#reason !== undefined) return this.#reason;
    if (P2PError.is(error, 'identity_mismatch')) return 'identity_mismatch';
    // A handshake that refuses has no cause; any other throw of it has one.
    return P2PError.is(error, 'refused') && error.cause === undefined ? 'not_accepted' : 'handshake_failed';
  }
}
