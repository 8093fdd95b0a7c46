/** Candidates that wait for an attempt, by source, and whose turn it is. */

import type { Candidate } from '../../core/candidate.ts';
import type { PeerId } from '../../core/peer-id.ts';

/** A candidate whose turn has come. */
interface Next {
  readonly candidate: Candidate;
  /** The index of its source. */
  readonly source: number;
}

interface Line {
  /** Bounded by the machine's `maxCandidates`. */
  waiting: Candidate[];
  /** Turns so far. */
  taken: number;
  /** Attempts under way. */
  running: number;
}

/** How many turns a source gets for each turn of the next one. */
const PREFERENCE = 2;

/**
 * The lines of all sources. A source in front gets twice as many turns as the next, and none may have all places, so
 * that candidates of one source that are many, or silent, do not keep out those of another.
 */
export class CandidateQueue {
  /** One for each source, in the order of preference. */
  readonly #lines: readonly Line[];
  readonly #places: number;
  #size = 0;

  /** @param maxParallel - the attempts of all sources at the same time. */
  constructor(sources: number, maxParallel: number) {
    this.#lines = Array.from({ length: sources }, () => ({ waiting: [], taken: 0, running: 0 }));
    this.#places = Math.max(1, maxParallel - (sources - 1));
  }

  /** Candidates that wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether a candidate has a place, as far as its source is concerned. */
  get isReady(): boolean {
    return this.#next() !== undefined;
  }

  add(source: number, candidate: Candidate): void {
    this.#lines[source]!.waiting.push(candidate);
    this.#size++;
  }

  /** Takes the next candidate, which then has a place until {@link CandidateQueue.free}. */
  take(): Next | undefined {
    const source = this.#next();
    if (source === undefined) return undefined;
    const line = this.#lines[source]!;
    line.taken++;
    line.running++;
    this.#size--;
    return { candidate: line.waiting.shift()!, source };
  }

  /** An attempt of this source has ended. */
  free(source: number): void {
    this.#lines[source]!.running--;
  }

  /** Removes the other candidates of a peer. */
  removePeer(id: PeerId): void {
    for (const line of this.#lines) line.waiting = line.waiting.filter((candidate) => candidate.id !== id);
    this.#size = this.#lines.reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  #next(): number | undefined {
    let best: number | undefined;
    let bestTurn = Infinity;
    for (const [i, { waiting, taken, running }] of this.#lines.entries()) {
      const turn = (taken + 1) * PREFERENCE ** i;
      if (waiting.length === 0 || running >= this.#places || turn >= bestTurn) continue;
      best = i;
      bestTurn = turn;
    }
    return best;
  }
}
