/**
 * Stores which requests were received, and their answers: a repeated request is answered again and never executed
 * again. Sans-IO. docs/wire/mbapp.md §4.
 */

import type { Millis } from '../../base/machine.ts';

/** The limits of the cache. */
export interface AnswerCacheLimits {
  /** Answered requests; the oldest is removed for a new one. */
  readonly maxAnswers: number;
  /** Bytes of their answers; above it the oldest answers are removed, but their requests stay known. */
  readonly maxBytes: number;
}

/** The state of a request. */
export type Known<Answer> =
  | { readonly type: 'new' }
  /** Its handler is running. */
  | { readonly type: 'busy' }
  | { readonly type: 'answered'; readonly entry: AnsweredEntry<Answer> }
  /** Executed, or sent before a removed request of the same source; it must not be executed now. */
  | { readonly type: 'stale' };

/** An answer that may be requested again. */
export interface AnsweredEntry<Answer> {
  readonly answer: Answer;
  readonly bytes: number;
  /** When it was last sent. */
  lastSentMs: Millis;
}

/** An answered request. */
interface Executed<Answer> {
  readonly source: string;
  readonly sentAtMs: Millis;
  /** `undefined` when it was removed. */
  entry: AnsweredEntry<Answer> | undefined;
}

/** The cost of an answer in addition to its bytes. A conservative estimate. */
const ENTRY_COST_BYTES = 256;

/** The number of sources for which the time of their last removed request is stored. */
const MAX_FORGOTTEN_SOURCES = 4096;

/** Requests by source and id. */
export class AnswerCache<Answer> {
  readonly #limits: AnswerCacheLimits;
  /** Bounded by the requests that handlers are processing, which the swarm's budgets bound. */
  readonly #busy = new Set<string>();
  /** Oldest first. Bounded by `maxAnswers`. */
  readonly #executed = new Map<string, Executed<Answer>>();
  /** Executed requests with an answer, oldest first. Bounded by both limits. */
  readonly #answered = new Set<Executed<Answer>>();
  /**
   * Permanent iterators over the oldest entries: a deleted entry leaves a gap, and a new iterator would skip all gaps
   * again. Each has only passed entries that are deleted, and is used only when there are entries.
   */
  readonly #oldestExecuted = this.#executed.entries();
  readonly #oldestAnswered = this.#answered.values();
  /** The latest sending time of a removed request, by source. Bounded by {@link MAX_FORGOTTEN_SOURCES}. */
  readonly #forgotten = new Map<string, Millis>();
  #bytes = 0;

  constructor(limits: AnswerCacheLimits) {
    this.#limits = limits;
  }

  get answers(): number {
    return this.#answered.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param sentAtMs - when the request was sent, by its sender's clock. */
  lookUp(source: string, id: string, sentAtMs: Millis): Known<Answer> {
    const key = `${id} ${source}`;
    if (this.#busy.has(key)) return { type: 'busy' };
    const executed = this.#executed.get(key);
    if (executed !== undefined) {
      return executed.entry === undefined ? { type: 'stale' } : { type: 'answered', entry: executed.entry };
    }
    const forgottenMs = this.#forgotten.get(source);
    return forgottenMs !== undefined && sentAtMs <= forgottenMs ? { type: 'stale' } : { type: 'new' };
  }

  /** A handler processes the request. */
  begin(source: string, id: string): void {
    this.#busy.add(`${id} ${source}`);
  }

  /** The request has its answer, which was sent `now`. */
  finish(
    now: Millis,
    request: { readonly source: string; readonly id: string; readonly sentAtMs: Millis },
    answer: Answer,
    bytes: number,
  ): void {
    const { source, id, sentAtMs } = request;
    const key = `${id} ${source}`;
    this.#busy.delete(key);
    const executed: Executed<Answer> = { source, sentAtMs, entry: { answer, bytes, lastSentMs: now } };
    this.#executed.set(key, executed);
    this.#answered.add(executed);
    this.#bytes += bytes + ENTRY_COST_BYTES;
    const { maxAnswers, maxBytes } = this.#limits;
    while (this.#bytes > maxBytes) this.#giveUp(this.#oldestAnswered.next().value!);
    while (this.#executed.size > maxAnswers) {
      const [oldestKey, oldest] = this.#oldestExecuted.next().value!;
      this.#executed.delete(oldestKey);
      this.#giveUp(oldest);
      this.#forget(oldest.source, oldest.sentAtMs);
    }
  }

  #giveUp(executed: Executed<Answer>): void {
    if (!this.#answered.delete(executed)) return;
    this.#bytes -= executed.entry!.bytes + ENTRY_COST_BYTES;
    executed.entry = undefined;
  }

  #forget(source: string, sentAtMs: Millis): void {
    const latest = Math.max(sentAtMs, this.#forgotten.get(source) ?? -Infinity);
    this.#forgotten.delete(source);
    this.#forgotten.set(source, latest);
    if (this.#forgotten.size <= MAX_FORGOTTEN_SOURCES) return;
    for (const longest of this.#forgotten.keys()) {
      this.#forgotten.delete(longest);
      break;
    }
  }
}
