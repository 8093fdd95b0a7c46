/** A connection on its way: from the first byte of TCP to the end of the handshake. */

import { P2PError } from '../core/errors.ts';
import { type RefusalReason } from './stats.ts';

/** One attempt. What gives it up says why, once. */
export class Attempt {
  /** The other end as `ip:port`. */
  readonly addr: string;
  readonly #abort = new AbortController();
  #reason: RefusalReason | undefined;

  constructor(addr: string) {
    this.addr = addr;
  }

  /** Aborted with the error of the attempt when it is given up. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** @param reason - for the counts; `undefined` when the caller gave up or the node closes. */
  giveUp(reason: RefusalReason | undefined, error: unknown): void {
    if (this.#abort.signal.aborted) return;
    this.#reason = reason;
    this.#abort.abort(error);
  }

  /** Why there is no connection, for the counts, when `error` is what ended the attempt. */
  reasonOf(error: unknown): RefusalReason {
    if (this.#reason !== undefined) return this.#reason;
    if (P2PError.is(error, 'identity_mismatch')) return 'identity_mismatch';
    // A handshake that says itself that it refuses; what else it throws has a cause.
    return P2PError.is(error, 'refused') && error.cause === undefined ? 'not_accepted' : 'handshake_failed';
  }
}
