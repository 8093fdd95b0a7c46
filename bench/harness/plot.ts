/** What has a goal as a picture: one bar a row, as long as its ratio to the baseline of the same run, on a logarithmic scale. */

import type { SummaryRow } from './summary.ts';

const WIDTH = 960;
const LABEL_WIDTH = 430;
const ROW_HEIGHT = 18;
const TOP = 56;
const RIGHT = 70;
/** Ratios beyond are drawn at the edge. */
const [LEAST, MOST] = [0.01, 100];
const TICKS = [0.01, 0.1, 0.5, 1, 2, 10, 100];
const COLOURS = { met: '#2e7d32', missed: '#c62828', '': '#78909c' } as const;

const scale = (ratio: number): number => {
  const bounded = Math.min(Math.max(ratio, LEAST), MOST);
  const share = Math.log(bounded / LEAST) / Math.log(MOST / LEAST);
  return LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - RIGHT);
};

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const shortened = (text: string, characters: number): string =>
  text.length <= characters ? text : `${text.slice(0, characters - 1)}…`;

function bar(row: SummaryRow, index: number): string {
  const y = TOP + index * ROW_HEIGHT;
  const [from, to] = [scale(1), scale(row.ratio)].toSorted((a, b) => a - b) as [number, number];
  const goal = /^≥ ([\d.]+)×$/.exec(row.goal)?.[1];
  const tick =
    goal === undefined
      ? ''
      : `<line x1="${scale(Number(goal)).toFixed(1)}" x2="${scale(Number(goal)).toFixed(1)}" y1="${y - 1}" y2="${y + 13}" stroke="#111" stroke-width="2"/>`;
  const label = shortened(`${row.subject} : ${row.baseline}`, 66);
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${y + 10}" text-anchor="end">${escaped(label)}</text>`,
    `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(to - from, 1).toFixed(1)}" height="12" fill="${COLOURS[row.verdict]}"/>`,
    tick,
    `<text x="${(scale(row.ratio) + (row.ratio >= 1 ? 5 : 0)).toFixed(1)}" y="${y + 10}" ${row.ratio >= 1 ? '' : `text-anchor="end" dx="-4"`}>${row.ratio.toFixed(2)}×</text>`,
  ].join('');
}

/** The picture. @param title - what and where: machine, Node, rounds. */
export function plot(all: readonly SummaryRow[], title: string): string {
  const rows = all.filter(({ goal }) => goal !== '');
  const height = TOP + rows.length * ROW_HEIGHT + 16;
  const grid = TICKS.map((ratio) => {
    const x = scale(ratio).toFixed(1);
    return `<line x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${height - 10}" stroke="${ratio === 1 ? '#000' : '#ddd'}"/><text x="${x}" y="${TOP - 10}" text-anchor="middle">${ratio}×</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="18" font-size="14" font-weight="bold">shoal beside its baselines, in the same run</text>`,
    `<text x="12" y="34">${escaped(title)}; red: goal missed, green: met; the black mark is the goal, where it is a ratio</text>`,
    ...grid,
    ...rows.map(bar),
    '</svg>',
    '',
  ].join('\n');
}
