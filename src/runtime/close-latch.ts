/** Closes a swarm exactly once. */

import { isPending } from './promises.ts';
import { closedError, type P2PError } from '../core/errors.ts';
import type { Realm } from '../core/realm.ts';
import type { Closed } from '../core/swarm.ts';
import { clockOf } from './system-realm.ts';

/** `close()` ends within a second, whatever the layers below do. Source: the contract, design rule "Ending". */
export const CLOSE_DEADLINE_MS = 1000;

/** What a latch needs to close a swarm. */
export interface CloseLatchOptions {
  readonly realm: Realm;
  /** The layer's name, for the trace. */
  readonly layer: string;
  /** Releases all resources; a promise is awaited. Called once. If it throws, that is traced and changes nothing. */
  readonly release: (how: Closed) => unknown;
}

/** Ends once, by `close()` or by failure, and stores how. */
export class CloseLatch {
  /** Resolves when everything is released; never rejects. */
  readonly closed: Promise<Closed>;
  readonly #options: CloseLatchOptions;
  readonly #settle: (how: Closed) => void;
  #how: Closed | undefined;

  constructor(options: CloseLatchOptions) {
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<Closed>();
    this.closed = promise;
    this.#settle = resolve;
  }

  /** Whether closing has begun. */
  get isClosed(): boolean {
    return this.#how !== undefined;
  }

  /** How it ended; `undefined` while open. */
  get how(): Closed | undefined {
    return this.#how;
  }

  /** The `closed` error for an operation after the end; `what` completes "Cannot …". */
  error(what: string): P2PError {
    return closedError(what, this.#how?.cause);
  }

  /**
   * Ends at the user's request. Idempotent; resolves when everything is released or after {@link CLOSE_DEADLINE_MS}.
   */
  close(): Promise<void> {
    this.#end({ by: 'local' });
    return this.closed.then(() => undefined);
  }

  /** Ends because the layer below failed. Has no effect after the end. */
  fail(cause: unknown): void {
    this.#end({ by: 'failure', cause });
  }

  #end(how: Closed): void {
    if (this.#how !== undefined) return;
    this.#how = how;
    const { realm, layer } = this.#options;
    const clock = clockOf(realm);
    const deadline = clock.setTimer(realm.nowMs() + CLOSE_DEADLINE_MS, () => this.#settle(how));
    const done = (cause?: unknown): void => {
      deadline.cancel();
      realm.trace?.({ layer, type: 'closed', atMs: realm.nowMs(), reason: how.by, cause: cause ?? how.cause });
      this.#settle(how);
    };
    try {
      const released = this.#options.release(how);
      if (isPending(released)) void released.then(() => done(), done);
      else done();
    } catch (error) {
      done(error);
    }
  }
}
