/** Results for people. */

import { type BenchResult, type Row, rounded } from './bench.ts';

const HEADER = ['measured', 'figure', 'baseline', 'figure', 'ratio', 'half within', 'goal', 'verdict'];

function cells(row: Row): readonly string[] {
  return [
    row.subject,
    `${rounded(row.figure)} ${row.unit}`,
    row.baseline,
    rounded(row.baselineFigure),
    `${row.ratio.toFixed(2)}×`,
    row.spread.map((ratio) => ratio.toFixed(2)).join('–'),
    row.goal,
    row.verdict,
  ];
}

/** The rows of one result as aligned lines, and what its controls say. */
export function resultLines({ name, question, rounds, rows, controls, notes }: BenchResult): readonly string[] {
  const table = [HEADER, ...rows.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  const lines = table.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd());
  return [
    `${name}: ${question}  (median of ${rounds} rounds)`,
    ...lines,
    ...notes.map((note) => `  ${note}`),
    ...controls.map(({ what, ok }) => `  control ${ok ? 'holds' : 'FAILED'}: ${what}`),
    ...(controls.every(({ ok }) => ok) ? [] : ['  THIS RUN CANNOT BE TRUSTED']),
    '',
  ];
}
