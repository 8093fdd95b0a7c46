/**
 * Which requests were seen, and what was answered: so that a repeated request is answered again and never executed
 * again. Sans-IO. docs/wire/mbapp.md §4.
 */

import { type Millis } from '../../base/machine.ts';

/** What the cache holds at most. */
export interface AnswerCacheLimits {
  /** Requests that were answered; the oldest is forgotten for a new one. */
  readonly maxAnswers: number;
  /** Bytes of their answers; beyond it the oldest answers are given up, and their requests stay known. */
  readonly maxBytes: number;
}

/** What is known of a request. */
export type Known<Answer> =
  | { readonly type: 'new' }
  /** Its handler is at work. */
  | { readonly type: 'busy' }
  | { readonly type: 'answered'; readonly entry: AnsweredEntry<Answer> }
  /** Executed, or sent before one of its source that was forgotten; either way it must not be executed now. */
  | { readonly type: 'stale' };

/** An answer that may be asked for again. */
export interface AnsweredEntry<Answer> {
  readonly answer: Answer;
  readonly bytes: number;
  /** When it was last sent. */
  lastSentMs: Millis;
}

/** A request that was answered. */
interface Executed<Answer> {
  readonly source: string;
  readonly sentAtMs: Millis;
  /** `undefined` when it was given up. */
  entry: AnsweredEntry<Answer> | undefined;
}

/** What an answer costs beyond its bytes. An estimate, on the high side. */
const ENTRY_COST_BYTES = 256;

/** Sources of which it is remembered up to when their requests were forgotten. */
const MAX_FORGOTTEN_SOURCES = 4096;

/** Requests by source and id. */
export class AnswerCache<Answer> {
  readonly #limits: AnswerCacheLimits;
  /** Bounded by what handlers have in hand, which the swarm's budgets bound. */
  readonly #busy = new Set<string>();
  /** Oldest first. Bounded by `maxAnswers`. */
  readonly #executed = new Map<string, Executed<Answer>>();
  /** Those of them that have their answer, oldest first. Bounded by both limits. */
  readonly #answered = new Set<Executed<Answer>>();
  /**
   * Where the oldest of both stand. One iterator for good: what is deleted leaves a hole, and a new iterator would walk over
   * all of them. Each has yielded nothing that is still there, and is asked only when there is something.
   */
  readonly #oldestExecuted = this.#executed.entries();
  readonly #oldestAnswered = this.#answered.values();
  /** The latest sending time of a request that was forgotten, by source. Bounded by {@link MAX_FORGOTTEN_SOURCES}. */
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

  /** The request is in its handler's hands. */
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
