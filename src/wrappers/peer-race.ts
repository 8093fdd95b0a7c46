/** Tries addresses in sequence, each a little later than the one before, until the first works. */

import type { Addr } from '../core/addr.ts';
import type { Candidate } from '../core/candidate.ts';
import { P2PError } from '../core/errors.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** The number of items, valid addresses or not, that one search takes from its source. */
const MAX_FOUND = 1024;

/** A result of a source: an address, its text, or a candidate. */
export type Found<A extends Addr> =
  | Iterable<A | Candidate | string>
  | AsyncIterable<A | Candidate | string>
  | Promise<Iterable<A | Candidate | string>>;

/** A race between addresses. */
export interface Race<A extends Addr> {
  readonly realm: Realm;
  /** The subject of the search, for error messages. */
  readonly what: string;
  /** Tried before those of the source. */
  readonly first: readonly A[];
  /** `signal` is aborted when the race has ended. */
  readonly source: (signal: AbortSignal) => Found<A>;
  /** Parses a text; `undefined` when it is not an address, which is then skipped. */
  readonly parse: (addr: A | string) => A | undefined;
  /** Returns why an address cannot be tried; `undefined` when it can. */
  readonly check: (addr: A) => P2PError | undefined;
  /** Rejects when the address does not work. `signal` is aborted when another one has won. */
  readonly attempt: (addr: A, signal: AbortSignal) => Promise<void>;
  readonly limits: {
    readonly staggerMs: number;
    readonly maxParallel: number;
    readonly maxCandidates: number;
  };
  /** The errors of tried addresses so far, filled during the race. Bounded by maxCandidates. */
  readonly errors: unknown[];
  /** Aborts the race with its reason. */
  readonly signal: AbortSignal;
}

/**
 * @returns the first address that works.
 * @throws (by rejection) {P2PError} `unreachable` with an AggregateError of one error per address as its cause;
 *   the signal's reason.
 */
export async function raceCandidates<A extends Addr>(race: Race<A>): Promise<A> {
  const { realm, limits, errors, signal } = race;
  const over = new AbortController();
  const running = new Set<Promise<void>>(); // Bounded by maxParallel.
  const { promise, resolve, reject } = Promise.withResolvers<A>();
  const giveUp = (): void => reject(signal.reason);
  signal.addEventListener('abort', giveUp);
  const tryAll = async (): Promise<void> => {
    let tried = 0;
    for await (const addr of candidates(race, over.signal, (error) => errors.push(error))) {
      tried++;
      const unfit = race.check(addr);
      if (unfit !== undefined) {
        errors.push(unfit);
        continue;
      }
      const attempt = race.attempt(addr, over.signal).then(
        () => resolve(addr),
        (error: unknown) => void errors.push(error),
      );
      running.add(attempt);
      void attempt.then(() => running.delete(attempt));
      await nextTurnOf(realm, attempt, limits.staggerMs);
      while (running.size >= limits.maxParallel && !over.signal.aborted) await Promise.race(running);
      if (over.signal.aborted) return;
    }
    await Promise.all(running);
    const cause = causeOf(errors);
    const why = tried === 0 ? 'no address is known' : `none of ${tried} addresses worked`;
    reject(new P2PError('unreachable', 'path', `Cannot reach ${race.what}: ${why}`, { cause, sent: 'no' }));
  };
  tryAll().catch(reject);
  try {
    return await promise;
  } finally {
    over.abort();
    signal.removeEventListener('abort', giveUp);
  }
}

/** All errors, combined into one. */
export function causeOf(errors: readonly unknown[]): AggregateError {
  return new AggregateError(errors, 'one error per address tried');
}

/**
 * Each address once, at most `maxCandidates`. When a source fails, no more addresses follow, and its error is one of
 * the causes.
 */
async function* candidates<A extends Addr>(
  { first, source, parse, limits }: Race<A>,
  over: AbortSignal,
  failed: (error: unknown) => void,
): AsyncGenerator<A> {
  const seen = new Set<string>(); // Bounded by maxCandidates.
  for (const addr of first) {
    seen.add(addr.text);
    yield addr;
  }
  try {
    let taken = 0; // Invalid texts count too: a source cannot keep a search busy with them.
    for await (const found of await source(over)) {
      if (over.aborted || seen.size >= limits.maxCandidates || taken++ >= MAX_FOUND) return;
      const addr = parse(isCandidate(found) ? found.addr : found);
      if (addr === undefined || seen.has(addr.text)) continue;
      seen.add(addr.text);
      yield addr;
    }
  } catch (error) {
    failed(error);
  }
}

function isCandidate(found: Addr | Candidate | string): found is Candidate {
  return typeof found === 'object' && 'addr' in found && typeof found.addr === 'string' && !('text' in found);
}

/** Resolves when the attempt has ended or the stagger time has passed, whichever is first. */
function nextTurnOf(realm: Realm, attempt: Promise<void>, staggerMs: number): Promise<void> {
  let timer: Timer | undefined;
  const passed = new Promise<void>((resolve) => {
    if (staggerMs !== Infinity) timer = clockOf(realm).setTimer(realm.nowMs() + staggerMs, resolve);
  });
  return Promise.race([attempt, passed]).finally(() => timer?.cancel());
}
