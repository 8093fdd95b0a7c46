/** What happened with one peer, for `explain`: bounded, the latest last. */

import type { AttemptRecord, RefusedCandidate } from './types.ts';

/** Attempts that are remembered for a peer: two rounds over all candidates of one. */
export const MAX_ATTEMPT_RECORDS = 64;
/** Refused candidates that are remembered for a peer. */
export const MAX_REFUSED_RECORDS = 32;
const MAX_DETAIL_CHARACTERS = 200;

/** Cuts text of a peer or a transport to what is kept. */
export function boundedDetail(text: string | undefined): string | undefined {
  if (text === undefined || text.length <= MAX_DETAIL_CHARACTERS) return text;
  return `${text.slice(0, MAX_DETAIL_CHARACTERS - 1)}…`;
}

/** The history of one peer. */
export class ReachHistory {
  /** Bounded by {@link MAX_ATTEMPT_RECORDS}. */
  readonly #attempts: AttemptRecord[] = [];
  /** By candidate and rule, so that a repeated refusal takes one place. Bounded by {@link MAX_REFUSED_RECORDS}. */
  readonly #refused = new Map<string, RefusedCandidate>();
  /** Attempts and refusals that are no longer remembered. */
  forgotten = 0;

  get attempts(): readonly AttemptRecord[] {
    return this.#attempts;
  }

  get refused(): Iterable<RefusedCandidate> {
    return this.#refused.values();
  }

  addAttempt(record: AttemptRecord): void {
    this.#attempts.push(record);
    if (this.#attempts.length <= MAX_ATTEMPT_RECORDS) return;
    this.#attempts.shift();
    this.forgotten++;
  }

  /** @returns whether it was not known before. */
  addRefused(record: RefusedCandidate): boolean {
    const key = `${record.rule} ${record.kind} ${record.transport} ${record.addr}`;
    const isNew = !this.#refused.delete(key);
    this.#refused.set(key, record);
    if (this.#refused.size > MAX_REFUSED_RECORDS) {
      this.#refused.delete(this.#refused.keys().next().value!);
      this.forgotten++;
    }
    return isNew;
  }
}
