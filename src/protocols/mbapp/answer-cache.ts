/**
 * Which requests were seen, and what was answered: so that a repeated request is answered again and never executed
 * again. Sans-IO. docs/wire/mbapp.md §4.
 */

import { type Millis } from '../../core/machine.ts';

/** What the cache holds at most. */
export interface AnswerCacheLimits {
  /** Requests that were answered; the oldest is forgotten for a new one. */
  readonly maxAnswers: number;
  /** Bytes of their answers. */
  readonly maxBytes: number;
}

/** What is known of a request. */
export type Known<Answer> =
  | { readonly type: 'new' }
  /** Its handler is at work. */
  | { readonly type: 'busy' }
  | { readonly type: 'answered'; readonly entry: AnsweredEntry<Answer> }
  /** Sent before one of its source that was forgotten: it may have been executed, so it must not be now. */
  | { readonly type: 'stale' };

/** An answer that may be asked for again. */
export interface AnsweredEntry<Answer> {
  readonly answer: Answer;
  readonly bytes: number;
  readonly sentAtMs: Millis;
  /** When it was last sent. */
  lastSentMs: Millis;
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
  /** Oldest first. Bounded by the limits. */
  readonly #answered = new Map<string, AnsweredEntry<Answer> & { readonly source: string }>();
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
    const entry = this.#answered.get(key);
    if (entry !== undefined) return { type: 'answered', entry };
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
    this.#answered.set(key, { answer, bytes, sentAtMs, lastSentMs: now, source });
    this.#bytes += bytes + ENTRY_COST_BYTES;
    const { maxAnswers, maxBytes } = this.#limits;
    for (const [oldestKey, oldest] of this.#answered) {
      if (this.#answered.size <= maxAnswers && this.#bytes <= maxBytes) break;
      this.#answered.delete(oldestKey);
      this.#bytes -= oldest.bytes + ENTRY_COST_BYTES;
      this.#forget(oldest.source, oldest.sentAtMs);
    }
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
