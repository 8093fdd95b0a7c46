/** Durations in a few numbers. */

/** Quantiles of durations in milliseconds; `undefined` for an empty set. */
export interface Quantiles {
  readonly minMs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;

/** The smallest, the middle one, and the one that 99 of 100 do not exceed (nearest rank). */
export function quantilesOf(durationsMs: readonly number[]): Quantiles | undefined {
  if (durationsMs.length === 0) return undefined;
  const sorted = durationsMs.toSorted((a, b) => a - b);
  const rank = (share: number): number => round(sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)]!);
  return { minMs: round(sorted[0]!), medianMs: rank(0.5), p99Ms: rank(0.99) };
}
