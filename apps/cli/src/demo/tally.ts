/** What a demo peer counts. Nothing in the demo's table or summary comes from anywhere else. */

import type { Realm } from 'shoal';
import type { PairReport, PeerReport } from './reports.ts';
import { SequenceTrack } from './sequence.ts';

/** Pairs of processes that are counted apart; a demo has a few dozen. */
const MAX_PAIRS = 256;
/** Tells whose echo is waited for; older ones count as not echoed. */
const MAX_AWAITED = 1024;
/** Durations that are kept for the quantiles: the last ones. */
const MAX_DURATIONS = 2048;

interface Pair {
  readonly here: number;
  readonly there: number;
  sent: number;
  readonly track: SequenceTrack;
}

export class Tally {
  readonly #realm: Realm;
  /** By both process ids. Bounded by {@link MAX_PAIRS}. */
  readonly #pairs = new Map<string, Pair>();
  /** When each tell left. Bounded by {@link MAX_AWAITED}. */
  readonly #awaited = new Map<string, number>();
  readonly #tellMs: number[] = [];
  readonly #askMs: number[] = [];
  readonly #counts = {
    tells: 0,
    tellBytes: 0,
    receivedTells: 0,
    receivedBytes: 0,
    echoes: 0,
    asks: 0,
    answers: 0,
    asksFailed: 0,
  };

  constructor(realm: Realm) {
    this.#realm = realm;
  }

  /** The number of the next tell between two processes. */
  nextTell(here: number, there: number): number {
    const pair = this.#pair(here, there);
    return pair === undefined ? 0 : pair.sent++;
  }

  told(there: number, seq: number, bytes: number): void {
    this.#counts.tells++;
    this.#counts.tellBytes += bytes;
    this.#awaited.set(`${seq} ${there}`, this.#realm.nowMs());
    if (this.#awaited.size <= MAX_AWAITED) return;
    for (const oldest of this.#awaited.keys()) {
      this.#awaited.delete(oldest);
      break;
    }
  }

  echoed(there: number, seq: number): void {
    const key = `${seq} ${there}`;
    const atMs = this.#awaited.get(key);
    if (atMs === undefined) return;
    this.#awaited.delete(key);
    this.#counts.echoes++;
    keepLast(this.#tellMs, this.#realm.nowMs() - atMs);
  }

  received(here: number, there: number, seq: number, bytes: number): void {
    this.#counts.receivedTells++;
    this.#counts.receivedBytes += bytes;
    this.#pair(here, there)?.track.handle(seq);
  }

  /** @returns what to call when the answer is there, or none came. */
  asking(): (answered: boolean) => void {
    const atMs = this.#realm.nowMs();
    this.#counts.asks++;
    return (answered) => {
      if (answered) this.#counts.answers++;
      else this.#counts.asksFailed++;
      if (answered) keepLast(this.#askMs, this.#realm.nowMs() - atMs);
    };
  }

  report(): Omit<PeerReport, 'sessions' | 'known' | 'paths'> {
    const pairs = [...this.#pairs.values()].map(
      ({ here, there, sent, track: { received, missing, repeated } }): PairReport => ({
        here,
        there,
        sent,
        received,
        missing,
        repeated,
      }),
    );
    return { ...this.#counts, pairs, tellMs: [...this.#tellMs], askMs: [...this.#askMs] };
  }

  #pair(here: number, there: number): Pair | undefined {
    const key = `${here} ${there}`;
    const found = this.#pairs.get(key);
    if (found !== undefined || this.#pairs.size >= MAX_PAIRS) return found;
    const made: Pair = { here, there, sent: 0, track: new SequenceTrack() };
    this.#pairs.set(key, made);
    return made;
  }
}

function keepLast(durations: number[], ms: number): void {
  durations.push(ms);
  if (durations.length > MAX_DURATIONS) durations.shift();
}
