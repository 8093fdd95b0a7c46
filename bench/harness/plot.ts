/** The front rows as a picture: one bar each, as long as its ratio to the baseline of the same run, on a logarithmic scale. */

import { type FrontRow, frontRowOf, GROUPS } from './front.ts';
import type { SummaryRow } from './summary.ts';

const FONT_PX = 12;
/** As wide as the widest usual letters of a sans-serif font are on the average, so that each label has room. */
const LETTER_PX = 0.6 * FONT_PX;
const [MARGIN, GAP, BARS_PX, ROW_PX, TOP] = [12, 8, 420, 20, 74];
/** Ratios beyond are drawn at the edge. */
const [LEAST, MOST] = [0.1, 100];
const TICKS = [0.1, 0.5, 1, 2, 10, 100];
const COLOURS = { met: '#2e7d32', missed: '#c62828', '': '#546e7a' } as const;

/** Room for a text. */
const widthOf = (text: string): number => Math.ceil(text.length * LETTER_PX);

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** A row of the picture. */
interface Bar {
  readonly front: FrontRow;
  readonly row: SummaryRow;
}

/** What stands behind a bar. */
function tailOf({ ratio, cpuRatio, goal }: SummaryRow): string {
  const goalText = goal === '' ? '' : ` (goal ${goal})`;
  return `${ratio.toFixed(2)}×${goalText}${cpuRatio === undefined ? '' : `, CPU ${cpuRatio.toFixed(2)}×`}`;
}

/** The picture. @param title - what and where: machine, Node, rounds. */
export function plot(all: readonly SummaryRow[], title: string): string {
  const bars: Bar[] = all.flatMap((row) => {
    const front = frontRowOf(row.bench, row);
    return front === undefined ? [] : [{ front, row }];
  });
  const left = MARGIN + GAP + Math.max(...bars.map(({ front }) => widthOf(front.label)), 0);
  const lines = [
    'Rates of shoal beside rates of others, in the same run',
    title,
    'To the right of 1×: shoal is faster. Green: goal met, red: missed; the black mark is the goal. CPU: time of both ends an operation, beside the other.',
  ];
  const tailPx = Math.max(...bars.map(({ row }) => widthOf(tailOf(row))), 0);
  const wide = left + BARS_PX + GAP + tailPx + MARGIN;
  const width = Math.max(wide, ...lines.map((line) => widthOf(line) + 2 * MARGIN));
  const scale = (ratio: number): number => {
    const bounded = Math.min(Math.max(ratio, LEAST), MOST);
    return left + (Math.log(bounded / LEAST) / Math.log(MOST / LEAST)) * BARS_PX;
  };
  const at = (ratio: number): string => scale(ratio).toFixed(1);
  let y = TOP;
  const body: string[] = [];
  for (const group of GROUPS) {
    const own = bars.filter(({ front }) => front.group === group);
    if (own.length === 0) continue;
    y += ROW_PX;
    body.push(`<text x="${MARGIN}" y="${y + 10}" font-weight="bold">${group}</text>`);
    for (const { front, row } of own) {
      y += ROW_PX;
      const [from, to] = [Number(at(1)), Number(at(row.ratio))].toSorted((a, b) => a - b) as [number, number];
      const goal = /^≥ ([\d.]+)×$/.exec(row.goal)?.[1];
      body.push(
        `<text x="${left - GAP}" y="${y + 10}" text-anchor="end">${escaped(front.label)}</text>`,
        `<rect x="${from.toFixed(1)}" y="${y}" width="${Math.max(to - from, 1).toFixed(1)}" height="12" fill="${COLOURS[row.verdict]}"/>`,
        goal === undefined
          ? ''
          : `<line x1="${at(Number(goal))}" x2="${at(Number(goal))}" y1="${y - 2}" y2="${y + 14}" stroke="#111" stroke-width="2"/>`,
        `<text x="${left + BARS_PX + GAP}" y="${y + 10}">${escaped(tailOf(row))}</text>`,
      );
    }
  }
  const height = y + ROW_PX + MARGIN;
  const grid = TICKS.map(
    (ratio) =>
      `<line x1="${at(ratio)}" x2="${at(ratio)}" y1="${TOP + 4}" y2="${height - MARGIN}" stroke="${ratio === 1 ? '#000' : '#ddd'}"/><text x="${at(ratio)}" y="${TOP}" text-anchor="middle">${ratio}×</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" font-family="system-ui, sans-serif" font-size="${FONT_PX}">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...lines.map(
      (line, i) =>
        `<text x="${MARGIN}" y="${18 + 17 * i}"${i === 0 ? ' font-weight="bold"' : ''}>${escaped(line)}</text>`,
    ),
    ...grid,
    ...body.filter((line) => line !== ''),
    '</svg>',
    '',
  ].join('\n');
}
