/** Waits for what news from others bring about, for as long as something moves towards it. */

import { type Timer, clockOf } from 'shoal/swarm-kit';
import type { Realm } from 'shoal';
import { Failure } from '../failure.ts';

/** How long nothing may come nearer before it is given up; a slow machine that does much else still gets on. */
const PATIENCE_MS = 60_000;

/** What is waited for. */
export interface Aim {
  /** A clause: `the transfer is over`. */
  readonly what: string;
  readonly isReached: () => boolean;
  /** Another number whenever something has come nearer. */
  readonly moved: () => number;
  /** How far it is, for the message of the failure. */
  readonly state: () => string;
}

/** One thing is waited for at a time. */
export class Progress {
  readonly #realm: Realm;
  readonly #signal: AbortSignal;
  #failure: Failure | undefined;
  #recheck: () => void = () => undefined;

  constructor(realm: Realm, signal: AbortSignal) {
    this.#realm = realm;
    this.#signal = signal;
  }

  /** There is news: what is waited for may have been reached. */
  recheck(): void {
    this.#recheck();
  }

  /** Something went wrong that waiting does not mend: this wait and all later ones fail. The first failure counts. */
  fail(failure: Failure): void {
    this.#failure ??= failure;
    this.#recheck();
  }

  /**
   * Waits until the aim is reached; that is tried whenever there is news.
   *
   * @throws {Failure} (by rejection) when nothing has moved for 60 s, or after {@link Progress.fail}.
   * @throws the signal's reason (by rejection) when the user has had enough.
   */
  async until({ what, isReached, moved, state }: Aim): Promise<void> {
    const clock = clockOf(this.#realm);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (): void => {
      const text = `for ${PATIENCE_MS / 1000} s nothing has moved towards this: ${what} (${state()})`;
      reject(new Failure(`The demo failed: ${text}`));
    };
    const arm = (): Timer => clock.setTimer(clock.nowMs() + PATIENCE_MS, giveUp);
    const onAbort = (): void => reject(this.#signal.reason);
    this.#signal.addEventListener('abort', onAbort);
    let late = arm();
    let before = moved();
    this.#recheck = () => {
      if (this.#failure !== undefined) reject(this.#failure);
      if (isReached()) resolve();
      const now = moved();
      if (now === before) return;
      before = now;
      late.cancel();
      late = arm();
    };
    this.#recheck();
    if (this.#signal.aborted) onAbort();
    try {
      await promise;
    } finally {
      late.cancel();
      this.#signal.removeEventListener('abort', onAbort);
      this.#recheck = () => undefined;
    }
  }
}
