/**
 * Verdicts by votes. A verdict needs more than half of the votes; the one that stands goes only when another one has them. So a minority
 * of liars moves nothing, and one bad answer never flips a verdict.
 */

/** How sure a verdict is: one says so, two do, or three in different networks (/24 of IPv4, /64 of IPv6). */
export type Certainty = 'assumed' | 'likely' | 'proven';

/** A value with its certainty. */
export interface Elected<T> {
  readonly value: T;
  readonly certainty: Certainty;
}

/** @param votes - how many say the same, each in a network of its own. */
export function certaintyOf(votes: number): Certainty {
  return votes >= 3 ? 'proven' : votes === 2 ? 'likely' : 'assumed';
}

const rank = (certainty: Certainty): number => ['assumed', 'likely', 'proven'].indexOf(certainty);

/** The most common value, the first of equals, and how common it is. @param values - at least one. */
export function mostCommon<T>(values: readonly T[]): readonly [value: T, count: number] {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, one) => (one[1] > best[1] ? one : best));
}

/**
 * What more than half of the votes say.
 *
 * @param votes - one for each network.
 * @param before - what stood until now. It stays while no other value has more than half of the votes, and its certainty does not
 *   shrink while it has more than half.
 */
export function elect<T>(votes: readonly T[], before: Elected<T> | undefined): Elected<T> | undefined {
  if (votes.length === 0) return before;
  const [value, count] = mostCommon(votes);
  if (2 * count <= votes.length) return before;
  const certainty = certaintyOf(count);
  if (before === undefined) return { value, certainty };
  if (before.value === value) return rank(certainty) > rank(before.certainty) ? { value, certainty } : before;
  // One vote moves only what one vote had made.
  return count === 1 && before.certainty !== 'assumed' ? before : { value, certainty };
}
