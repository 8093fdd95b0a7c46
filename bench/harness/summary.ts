/** One table over everything that was measured, what missed its goal first. */

import { type BenchResult, type Row, rounded } from './bench.ts';
import { recordedOf } from './recorded.ts';

/** A row with the bench it is of. */
export interface SummaryRow extends Row {
  readonly bench: string;
  readonly recorded: string;
}

const RANK = { missed: 0, met: 1, '': 2 } as const;

/** All rows: missed goals, then met ones, then what is only reported; within each as the benches are. */
export function summaryOf(results: readonly BenchResult[]): readonly SummaryRow[] {
  return results
    .flatMap(({ name, rows }) =>
      // A rival that broke or hung has no figure to be compared with; the notes of its bench say so.
      rows
        .filter(({ baselineFigure }) => baselineFigure > 0)
        .map((row) => ({ ...row, bench: name, recorded: recordedOf(name, row.subject) })),
    )
    .toSorted((a, b) => RANK[a.verdict] - RANK[b.verdict]);
}

const HEADER = [
  'Bench',
  'Measured',
  'Figure',
  'Against, in the same run',
  'Ratio',
  'Half within',
  'Goal',
  'Verdict',
  'Original go-p2p, recorded elsewhere',
];

function cells(row: SummaryRow): readonly string[] {
  return [
    row.bench,
    row.subject,
    `${rounded(row.figure)} ${row.unit}`,
    row.baseline,
    `${row.ratio.toFixed(2)}×`,
    // A rival that answered in some rounds only makes ratios without bound.
    row.spread.map((ratio) => (Number.isFinite(ratio) ? ratio.toFixed(2) : '∞')).join('–'),
    row.goal,
    row.verdict === 'missed' ? '**missed**' : row.verdict,
    row.recorded,
  ];
}

/** The table as Markdown, which reads well on a terminal, too. */
export function summaryTable(rows: readonly SummaryRow[]): string {
  const table = [HEADER, ...rows.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(HEADER), line(widths.map((width) => '-'.repeat(width))), ...table.slice(1).map(line)].join('\n');
}
