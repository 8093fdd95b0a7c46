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

/** What identifies a request among those of its source: the two words of its header. */
export interface RequestId {
  readonly origin: number;
  readonly counter: number;
}

/** The cost of an answer in addition to its bytes. A conservative estimate. */
const ENTRY_COST_BYTES = 256;

/** The number of sources for which the time of their last removed request is stored. */
const MAX_FORGOTTEN_SOURCES = 4096;

const NEW: { readonly type: 'new' } = { type: 'new' };
const BUSY: { readonly type: 'busy' } = { type: 'busy' };
const STALE: { readonly type: 'stale' } = { type: 'stale' };

/** The requests of one source that are remembered. */
class Source<Answer> {
  readonly text: string;
  /** Bounded by the cache's `maxAnswers` and the requests that handlers process, as `#others` is. */
  readonly #byCounter = new Map<number, CachedRequest<Answer>>();
  /** Requests whose counter is taken by one with another origin, as after a restart of the source. By origin and counter. */
  readonly #others = new Map<string, CachedRequest<Answer>>();

  constructor(text: string) {
    this.text = text;
  }

  get isEmpty(): boolean {
    return this.#byCounter.size === 0 && this.#others.size === 0;
  }

  get({ origin, counter }: RequestId): CachedRequest<Answer> | undefined {
    const request = this.#byCounter.get(counter);
    if (request?.origin === origin) return request;
    return this.#others.size === 0 ? undefined : this.#others.get(`${origin} ${counter}`);
  }

  add(request: CachedRequest<Answer>): void {
    const { origin, counter } = request;
    if (this.#byCounter.has(counter)) this.#others.set(`${origin} ${counter}`, request);
    else this.#byCounter.set(counter, request);
  }

  remove(request: CachedRequest<Answer>): void {
    const { origin, counter } = request;
    if (this.#byCounter.get(counter) === request) this.#byCounter.delete(counter);
    else this.#others.delete(`${origin} ${counter}`);
  }
}

/** A request that is executed, or has been. One object for all that is kept of it: the cache holds thousands. */
class CachedRequest<Answer> implements AnsweredEntry<Answer> {
  readonly source: Source<Answer>;
  readonly origin: number;
  readonly counter: number;
  readonly sentAtMs: Millis;
  state: 'busy' | 'answered' | 'given up' = 'busy';
  #answer: Answer | undefined;
  bytes = 0;
  lastSentMs: Millis = 0;
  /** The one that was answered next. */
  next: CachedRequest<Answer> | undefined;

  constructor(source: Source<Answer>, { origin, counter }: RequestId, sentAtMs: Millis) {
    this.source = source;
    this.origin = origin;
    this.counter = counter;
    this.sentAtMs = sentAtMs;
  }

  get answer(): Answer {
    return this.#answer!;
  }

  answered(now: Millis, answer: Answer, bytes: number): void {
    this.state = 'answered';
    this.#answer = answer;
    this.bytes = bytes;
    this.lastSentMs = now;
  }

  giveUp(): void {
    this.state = 'given up';
    this.#answer = undefined;
  }
}

/** Requests by source and id. */
export class AnswerCache<Answer> {
  readonly #limits: AnswerCacheLimits;
  /** Bounded by `maxAnswers` and the requests that handlers process, which the swarm's budgets bound: an empty source is removed. */
  readonly #sources = new Map<string, Source<Answer>>();
  /** The answered requests in the order of their answers, by `next`; those before `#oldestAnswer` have no answer any more. */
  #oldest: CachedRequest<Answer> | undefined;
  #newest: CachedRequest<Answer> | undefined;
  #oldestAnswer: CachedRequest<Answer> | undefined;
  #executed = 0;
  #answers = 0;
  /** The latest sending time of a removed request, by source. Bounded by {@link MAX_FORGOTTEN_SOURCES}. */
  readonly #forgotten = new Map<string, Millis>();
  #bytes = 0;

  constructor(limits: AnswerCacheLimits) {
    this.#limits = limits;
  }

  get answers(): number {
    return this.#answers;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param sentAtMs - when the request was sent, by its sender's clock. */
  lookUp(source: string, id: RequestId, sentAtMs: Millis): Known<Answer> {
    const request = this.#sources.get(source)?.get(id);
    if (request !== undefined) {
      if (request.state === 'busy') return BUSY;
      return request.state === 'answered' ? { type: 'answered', entry: request } : STALE;
    }
    const forgottenMs = this.#forgotten.get(source);
    return forgottenMs !== undefined && sentAtMs <= forgottenMs ? STALE : NEW;
  }

  /** A handler processes the request, which `lookUp` said to be new. */
  begin(source: string, id: RequestId, sentAtMs: Millis): CachedRequest<Answer> {
    let known = this.#sources.get(source);
    if (known === undefined) this.#sources.set(source, (known = new Source(source)));
    const request = new CachedRequest(known, id, sentAtMs);
    known.add(request);
    return request;
  }

  /** The request has its answer, which was sent `now`. */
  finish(now: Millis, request: CachedRequest<Answer>, answer: Answer, bytes: number): void {
    request.answered(now, answer, bytes);
    if (this.#newest === undefined) this.#oldest = request;
    else this.#newest.next = request;
    this.#newest = request;
    this.#oldestAnswer ??= request;
    this.#executed++;
    this.#answers++;
    this.#bytes += bytes + ENTRY_COST_BYTES;
    const { maxAnswers, maxBytes } = this.#limits;
    while (this.#bytes > maxBytes) this.#giveUpOldestAnswer();
    while (this.#executed > maxAnswers) this.#removeOldest();
  }

  #giveUpOldestAnswer(): void {
    const request = this.#oldestAnswer!;
    this.#oldestAnswer = request.next;
    this.#answers--;
    this.#bytes -= request.bytes + ENTRY_COST_BYTES;
    request.giveUp();
  }

  #removeOldest(): void {
    const request = this.#oldest!;
    if (request === this.#oldestAnswer) this.#giveUpOldestAnswer();
    this.#oldest = request.next;
    if (this.#oldest === undefined) this.#newest = undefined;
    this.#executed--;
    const { source, sentAtMs } = request;
    source.remove(request);
    if (source.isEmpty) this.#sources.delete(source.text);
    this.#forget(source.text, sentAtMs);
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
