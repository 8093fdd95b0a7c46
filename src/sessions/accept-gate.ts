/** Calls the application's `accept` for all peers that ask for admission. */

import { SourceShares } from '../base/source-shares.ts';
import { type Accept, type AcceptPeer, type Verdict, verdictOf, verdictOfThrown } from '../core/accept.ts';
import type { Addr } from '../core/addr.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { isPending } from '../runtime/promises.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** The time limit of a predicate. It is shorter than every handshake timeout, so that the peer receives the refusal. */
export const ACCEPT_TIMEOUT_MS = 5000;
/** Peers that may wait for a verdict at the same time, in total. */
export const MAX_PENDING_VERDICTS = 256;
/** Sessions that are rechecked at the same time. */
const RECHECKS_AT_ONCE = 64;

/** Options of a gate. */
export interface AcceptGateOptions<in A extends Addr> {
  readonly realm: Realm;
  /** @default every peer is admitted */
  readonly accept: Accept<A> | undefined;
  /** Called when the predicate fails: it threw, timed out, or returned a value that is not a boolean. */
  readonly onFault: (peer: AcceptPeer<A>, cause: Error) => void;
  /** @default 256 */
  readonly maxPending?: number | undefined;
}

/** A pending verdict. */
export interface PendingVerdict {
  /** Cancels the question: its callback is not called. Used when the peer has disconnected. */
  cancel(): void;
}

interface Question {
  settle: ((accepted: boolean) => void) | undefined;
  timer: Timer | undefined;
}

/**
 * Only `true` admits. The number of questions is bounded, with a share for each source: when the gate is full, the
 * oldest question of the source with the most questions is refused.
 */
export class AcceptGate<A extends Addr> {
  readonly #options: AcceptGateOptions<A>;
  readonly #maxPending: number;
  /** Bounded by `maxPending`. */
  readonly #questions = new SourceShares<Question>();

  constructor(options: AcceptGateOptions<A>) {
    this.#options = options;
    this.#maxPending = options.maxPending ?? MAX_PENDING_VERDICTS;
  }

  /** Peers that wait for a verdict. */
  get pending(): number {
    return this.#questions.size;
  }

  /**
   * Asks whether `peer` is admitted.
   *
   * @param host - the source whose share the question counts for: the IP, or any text that identifies the peer's
   * location.
   * @param settle - called once with the verdict of a predicate that returned a promise, never synchronously inside
   * this call.
   * @returns the verdict, if the predicate returned it synchronously.
   */
  ask(peer: AcceptPeer<A>, host: string, settle: (accepted: boolean) => void): boolean | PendingVerdict {
    return this.#ask(peer, host, settle);
  }
  /**
   * Asks again about existing sessions. They continue meanwhile, and do not count against new peers.
   *
   * @param sessions - each peer with the function that ends its session; `end` is called for refused peers.
   * @returns settles when all peers are checked; never rejects.
   */
  async recheck(sessions: Iterable<readonly [peer: AcceptPeer<A>, end: () => void]>): Promise<void> {
    const left = [...sessions].values(); // Bounded by the sessions of the owner.
    const judge = async (): Promise<void> => {
      for (const [peer, end] of left) {
        const accepted = await new Promise<boolean>((resolve) => {
          const answer = this.#ask(peer, undefined, resolve);
          if (typeof answer === 'boolean') resolve(answer);
        });
        if (!accepted) end();
      }
    };
    await Promise.all(Array.from({ length: RECHECKS_AT_ONCE }, judge));
  }

  /** Refuses all pending questions. */
  close(): void {
    for (let one = this.#questions.oldestOfBusiest; one !== undefined; one = this.#questions.oldestOfBusiest) {
      this.#end(one, false);
    }
  }

  #ask(peer: AcceptPeer<A>, host: string | undefined, settle: (accepted: boolean) => void): boolean | PendingVerdict {
    const { accept } = this.#options;
    if (accept === undefined) return true;
    let answer: unknown;
    try {
      answer = accept(peer);
      if (!isPending(answer)) return this.#judge(peer, verdictOf(answer));
    } catch (cause) {
      return this.#judge(peer, verdictOfThrown(cause));
    }
    // The `then` of a promise that is not the runtime's own may throw, or call back at once: this one never does.
    return this.#wait(peer, host, Promise.resolve(answer), settle);
  }

  #wait(
    peer: AcceptPeer<A>,
    host: string | undefined,
    answer: Promise<unknown>,
    settle: (accepted: boolean) => void,
  ): boolean | PendingVerdict {
    const question: Question = { settle, timer: undefined };
    if (host !== undefined && !this.#addFor(host, question)) {
      answer.catch(() => undefined); // A promise that rejects later must not end the process.
      return false;
    }
    const { realm } = this.#options;
    question.timer = clockOf(realm).setTimer(realm.nowMs() + ACCEPT_TIMEOUT_MS, () => {
      const cause = new P2PError('timeout', 'local', `accept has not answered within ${ACCEPT_TIMEOUT_MS} ms`);
      this.#end(question, this.#judge(peer, cause));
    });
    const judge = (verdict: Verdict): void => {
      if (question.settle !== undefined) this.#end(question, this.#judge(peer, verdict));
    };
    answer.then(
      (value) => judge(verdictOf(value)),
      (cause: unknown) => judge(verdictOfThrown(cause)),
    );
    return { cancel: () => this.#end(question, undefined) };
  }

  /** @returns false when every source holds as little as this one, so that no question can be evicted */
  #addFor(host: string, question: Question): boolean {
    if (this.#questions.size >= this.#maxPending) {
      const victim = this.#questions.victimFor(host);
      if (victim === undefined) return false;
      this.#end(victim, false);
    }
    this.#questions.add(host, question);
    return true;
  }

  #end(question: Question, accepted: boolean | undefined): void {
    const { settle } = question;
    question.settle = undefined;
    question.timer?.cancel();
    this.#questions.delete(question);
    if (accepted !== undefined) settle?.(accepted);
  }

  #judge(peer: AcceptPeer<A>, verdict: Verdict): boolean {
    if (typeof verdict === 'boolean') return verdict;
    this.#options.onFault(peer, verdict);
    return false;
  }
}

/**
 * Returns the verdict of a gate as a promise. When `signal` is aborted first, the verdict is false and the question is
 * cancelled.
 */
export function askUntilAborted(
  ask: (settle: (accepted: boolean) => void) => boolean | PendingVerdict,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const answer = ask((accepted) => {
      signal.removeEventListener('abort', onAbort);
      resolve(accepted);
    });
    const onAbort = (): void => {
      if (typeof answer !== 'boolean') answer.cancel();
      resolve(false);
    };
    if (typeof answer === 'boolean') resolve(answer);
    else if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}
