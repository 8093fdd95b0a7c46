/** Results for people. */

import type { BenchResult, Row } from './bench.ts';
import { rowCells } from './summary.ts';

const HEADER = [
  'measured',
  'cores',
  'figure',
  'CPU µs',
  'baseline',
  'figure',
  'CPU µs',
  'ratio',
  'quartiles',
  'CPU',
  'goal',
  'verdict',
];

function cells(row: Row): readonly string[] {
  return [...rowCells(row), row.distrusted === undefined ? row.verdict : 'NOT TRUSTED'];
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
    '',
  ];
}
