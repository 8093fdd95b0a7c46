/**
 * Live interoperability: `npm run interop`; `npm run interop -- quic libp2p` runs the files whose path has one of these parts.
 *
 * Runs the tests of interop/, prints who × protocol × direction with the tests of each, and compares docs/interop.md with
 * it where every file ran and every toolchain is there; `-- --write` updates that page, from all files. What is missing on a machine is
 * skipped by name.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ROWS, type Row } from '../interop/matrix.ts';
import { PEERS } from '../interop/peers.ts';
import { root } from './public-modules.ts';
import type { TestOutcome } from './test-outcome.ts';

const PAGE = path.join(root, 'docs', 'interop.md');
const MARKS = ['<!-- matrix -->', '<!-- end of matrix -->'] as const;

const {
  values: { write },
  positionals: parts,
} = parseArgs({ allowPositionals: true, options: { write: { type: 'boolean', default: false } } });
const rows = ROWS.filter(
  ({ file }) => parts.length === 0 || parts.some((part) => path.join('interop', file).includes(part)),
);
const misuse =
  rows.length === 0
    ? `Cannot test: no file of interop/ matches ${parts.join(' ')}`
    : write && parts.length > 0
      ? 'Cannot write docs/interop.md: that takes all tests, without names'
      : undefined;
if (misuse !== undefined) {
  console.error(misuse);
  process.exit(1);
}

interface Counted {
  readonly row: Row;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

function runTests(): { readonly code: number; readonly outcomes: readonly TestOutcome[] } {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-interop-'));
  try {
    const report = path.join(folder, 'outcomes.json');
    const args = [
      ...process.execArgv,
      path.join(import.meta.dirname, 'test.ts'),
      '--interop',
      `--report=${report}`,
      ...parts,
    ];
    const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
    return { code: status ?? 1, outcomes: JSON.parse(readFileSync(report, 'utf8')) as readonly TestOutcome[] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const rowOf = ({ file, name }: TestOutcome): Row | undefined =>
  ROWS.find((row) => path.join('interop', row.file) === file && (row.name?.test(name) ?? true));

function count(outcomes: readonly TestOutcome[]): readonly Counted[] {
  return rows.map((row) => {
    const own = outcomes.filter((each) => rowOf(each) === row);
    const of = (outcome: TestOutcome['outcome']): number => own.filter((each) => each.outcome === outcome).length;
    return { row, passed: of('passed'), failed: of('failed'), skipped: of('skipped') };
  });
}

function table(counted: readonly Counted[]): string {
  const cells = counted.map(({ row: { peer, protocol, direction }, passed, failed, skipped }) => {
    const words = [
      passed > 0 ? `${passed} pass` : '',
      failed > 0 ? `**${failed} fail**` : '',
      skipped > 0 ? `${skipped} skipped` : '',
    ];
    return [peer, protocol, direction, words.filter((word) => word !== '').join(', ') || 'none'];
  });
  const rows = [['Peer', 'Protocol', 'Direction', 'Tests'], ...cells];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(rows[0]!), line(widths.map((width) => '-'.repeat(width))), ...rows.slice(1).map(line)].join('\n');
}

/** The page with another table in it. */
function withTable(page: string, matrix: string): string {
  const [begin, end] = MARKS.map((mark) => page.indexOf(mark)) as [number, number];
  return `${page.slice(0, begin + MARKS[0].length)}\n\n${matrix}\n\n${page.slice(end)}`;
}

// Before the tests, whose runner takes a compiler's silence for a test that hangs.
for (const { name, missing, build } of PEERS) {
  const isUsed = rows.some(({ peer }) => peer.toLowerCase().includes(name));
  if (!isUsed || missing() !== false) continue;
  console.log(`Building ${name} …`);
  build();
}
const { code, outcomes } = runTests();
const counted = count(outcomes);
const matrix = table(counted);
console.log(`\n${matrix}\n`);

const faults = [
  ...outcomes
    .filter((each) => rowOf(each) === undefined)
    .map(({ name }) => `belongs to no row of interop/matrix.ts: ${name}`),
  ...counted
    .filter(({ passed, failed, skipped }) => passed + failed + skipped === 0)
    .map(({ row }) => `has no test: ${row.peer}, ${row.protocol}, ${row.direction}`),
];
const page = readFileSync(PAGE, 'utf8');
const complete = outcomes.every(({ outcome }) => outcome === 'passed');
if (write) writeFileSync(PAGE, withTable(page, matrix));
else if (complete && parts.length === 0 && withTable(page, matrix) !== page)
  faults.push('docs/interop.md is out of date: npm run interop -- --write');
for (const fault of faults) console.log(`FAILED  ${fault}`);
const of = (key: 'passed' | 'failed' | 'skipped'): number => counted.reduce((sum, each) => sum + each[key], 0);
const skipped = outcomes.filter(({ outcome }) => outcome === 'skipped');
if (skipped.length > 0)
  console.log(
    `Skipped:\n${skipped.map(({ name, why }) => `  ${name}${why === undefined ? '' : `: ${why}`}`).join('\n')}\n`,
  );
console.log(`${of('passed')} passed, ${of('failed')} failed, ${of('skipped')} skipped`);
process.exitCode = code === 0 && faults.length === 0 ? 0 : 1;
