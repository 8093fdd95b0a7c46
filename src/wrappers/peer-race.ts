/** Tries addresses one after the other, each a little later than the one before, until the first works. */

import { type Addr } from '../core/addr.ts';
import { type Candidate } from '../core/candidate.ts';
import { P2PError } from '../core/errors.ts';
import { type Realm, type Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** What one search takes from its source, whether or not it is an address. */
const MAX_FOUND = 1024;

/** What a source found: addresses, their texts, or candidates. */
export type Found<A extends Addr> =
  | Iterable<A | Candidate | string>
  | AsyncIterable<A | Candidate | string>
  | Promise<Iterable<A | Candidate | string>>;

/** A race between addresses. */
export interface Race<A extends Addr> {
  readonly realm: Realm;
  /** What is looked for, for error messages. */
  readonly what: string;
  /** Tried before those of the source. */
  readonly first: readonly A[];
  readonly source: () => Found<A>;
  /** The address that a text writes; `undefined` when it is none, and passed over. */
  readonly parse: (addr: A | string) => A | undefined;
  /** Why an address is not worth trying, if it is not. */
  readonly check: (addr: A) => P2PError | undefined;
  /** Rejects when the address does not work. `signal` fires when another one has won. */
  readonly attempt: (addr: A, signal: AbortSignal) => Promise<void>;
  readonly limits: {
    readonly staggerMs: number;
    readonly maxParallel: number;
    readonly maxCandidates: number;
  };
  /** Why addresses did not work, so far: filled while the race goes on. Bounded by maxCandidates. */
  readonly errors: unknown[];
  /** Gives the race up with its reason. */
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

/** All that went wrong, as one. */
export function causeOf(errors: readonly unknown[]): AggregateError {
  return new AggregateError(errors, 'one error per address tried');
}

/** Each address once, at most `maxCandidates`. A source that fails ends its addresses, and is one more cause. */
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
    let taken = 0; // Texts that are no address count too: a source cannot keep a search busy with them.
    for await (const found of await source()) {
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

/** Resolves when the attempt has ended or the stagger has passed, whichever is first. */
function nextTurnOf(realm: Realm, attempt: Promise<void>, staggerMs: number): Promise<void> {
  let timer: Timer | undefined;
  const passed = new Promise<void>((resolve) => {
    if (staggerMs !== Infinity) timer = clockOf(realm).setTimer(realm.nowMs() + staggerMs, resolve);
  });
  return Promise.race([attempt, passed]).finally(() => timer?.cancel());
}
