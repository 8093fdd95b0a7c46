/** Which share of all has come about after which time: a picture with a logarithmic axis of time. */

export interface Curve {
  readonly label: string;
  readonly colour: string;
  /** Milliseconds; what never came about is not there. */
  readonly values: readonly number[];
}

export interface CurvesText {
  readonly title: string;
  readonly subtitle: string;
  /** Of which the shares are. */
  readonly total: number;
}

const [WIDTH, HEIGHT] = [960, 420];
const [LEFT, RIGHT, TOP, BOTTOM] = [60, 24, 64, 44];
const [LEAST_MS, MOST_MS] = [100, 1_000_000];
const TICKS = [100, 1000, 10_000, 100_000, 1_000_000];
const SHARES = [0, 0.25, 0.5, 0.75, 1];

const x = (ms: number): number => {
  const bounded = Math.min(Math.max(ms, LEAST_MS), MOST_MS);
  return LEFT + (Math.log(bounded / LEAST_MS) / Math.log(MOST_MS / LEAST_MS)) * (WIDTH - LEFT - RIGHT);
};
const y = (share: number): number => HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
const at = (value: number): string => value.toFixed(1);

function line({ values, colour }: Curve, total: number): string {
  const sorted = values.toSorted((a, b) => a - b);
  let path = `M${at(LEFT)} ${at(y(0))}`;
  for (const [i, ms] of sorted.entries()) {
    // A step for each time, however many pairs it has.
    if (sorted[i + 1] !== ms) path += `H${at(x(ms))}V${at(y((i + 1) / total))}`;
  }
  return `<path d="${path}H${at(WIDTH - RIGHT)}" fill="none" stroke="${colour}" stroke-width="2"/>`;
}

/** The picture. */
export function curves({ title, subtitle, total }: CurvesText, all: readonly Curve[]): string {
  const times = TICKS.map(
    (ms) =>
      `<line x1="${at(x(ms))}" x2="${at(x(ms))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${at(x(ms))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}</text>`,
  );
  const shares = SHARES.map(
    (share) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y(share))}" y2="${at(y(share))}" stroke="#ddd"/><text x="${LEFT - 8}" y="${at(y(share) + 4)}" text-anchor="end">${100 * share} %</text>`,
  );
  const labels = all.map(
    ({ label, colour }, i) =>
      `<text x="${WIDTH - RIGHT - 8}" y="${at(y(0.12) + 16 * i)}" text-anchor="end" fill="${colour}" font-weight="bold">${label}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="12" y="20" font-size="14" font-weight="bold">${title}</text>`,
    `<text x="12" y="38">${subtitle}; share of the pairs over the time since the ask</text>`,
    ...times,
    ...shares,
    ...all.map((curve) => line(curve, total)),
    ...labels,
    '</svg>',
    '',
  ].join('\n');
}
