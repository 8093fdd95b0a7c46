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
    .flatMap(({ name, rows }) => rows.map((row) => ({ ...row, bench: name, recorded: recordedOf(name, row.subject) })))
    .toSorted((a, b) => RANK[a.verdict] - RANK[b.verdict]);
}

/** Rows whose controls hold; of those that are not published, a line each that says why. */
export function published(rows: readonly SummaryRow[]): {
  readonly rows: readonly SummaryRow[];
  readonly left: readonly string[];
} {
  const left = rows.filter(({ distrusted }) => distrusted !== undefined);
  return {
    rows: rows.filter(({ distrusted }) => distrusted === undefined),
    left: left.map(
      ({ bench, subject, baseline, distrusted }) =>
        `${bench}: ${subject} beside ${baseline} is not published, because its control failed (${distrusted})`,
    ),
  };
}

const HEADER = [
  'Bench',
  'Measured',
  'Cores',
  'Figure',
  'CPU µs each',
  'Against, in the same run',
  'Figure',
  'CPU µs each',
  'Ratio',
  'Quartiles',
  'CPU ratio',
  'Goal',
  'Verdict',
  'Original go-p2p, recorded elsewhere',
];

/** CPU time as text; a dash for what is no rate. */
export function cpuText(cpuUs: number | undefined): string {
  if (cpuUs === undefined) return '–';
  return cpuUs >= 100 ? cpuUs.toFixed(0) : cpuUs.toPrecision(2);
}

/** The columns that a table of one bench has, too. */
export function rowCells(row: Row): readonly string[] {
  return [
    row.subject,
    row.on,
    `${rounded(row.figure)} ${row.unit}`,
    cpuText(row.cpuUs),
    row.baseline,
    rounded(row.baselineFigure),
    cpuText(row.baselineCpuUs),
    `${row.ratio.toFixed(2)}×`,
    row.spread.map((ratio) => ratio.toFixed(2)).join('–'),
    row.cpuRatio === undefined ? '–' : `${row.cpuRatio.toFixed(2)}×`,
    row.goal,
  ];
}

function cells(row: SummaryRow): readonly string[] {
  return [row.bench, ...rowCells(row), row.verdict === 'missed' ? '**missed**' : row.verdict, row.recorded];
}

/** Rows of text as Markdown, which reads well on a terminal, too. */
export function markdown(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** The table. */
export function summaryTable(rows: readonly SummaryRow[]): string {
  return markdown(HEADER, rows.map(cells));
}
