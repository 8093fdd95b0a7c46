/** Durations as readable text. */

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** `12 minutes`, `1 hour`, `40 seconds`: rounded, in the largest unit of which there are at least two, or one exactly. */
export function describeDuration(ms: number): string {
  for (const [unit, unitMs] of UNITS) {
    const count = Math.round(ms / unitMs);
    if (ms >= 1.5 * unitMs || (count * unitMs === ms && count > 0)) return `${count} ${unit}${count === 1 ? '' : 's'}`;
  }
  return `${Math.round(ms / 1000)} seconds`;
}
