/**
 * `npm run bench`: every bench; `npm run bench -- udp ring` those whose name has one of these parts. `--quick` alone: only the
 * front rows, in less than three minutes; `--quick` with names: these, with fewer rounds. Prints a table for each and one over
 * all, and writes them with every figure to bench/results/latest.local.json; `--publish` also updates docs/benchmarks.json,
 * docs/benchmarks.svg and the tables in docs/benchmarks.md. Exit code 1 when a control failed: the rows it stands for are not
 * published. A missed goal is a result, not an error.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type BenchResult, type Claim, runBench } from './harness/bench.ts';
import { BENCHES } from './harness/benches.ts';
import { FRONT, frontRowOf } from './harness/front.ts';
import { plot } from './harness/plot.ts';
import { PROGRAMS, type ProgramResult, runProgram } from './harness/programs.ts';
import { putSection } from './harness/page.ts';
import { published, summaryOf, summaryTable } from './harness/summary.ts';
import { resultLines } from './harness/table.ts';

const ROUNDS = 5;
/** For a first impression; a figure that is published comes of more. */
const QUICK_ROUNDS = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, publish: { type: 'boolean', default: false } },
});
const wanted = ({ name }: { readonly name: string }): boolean =>
  positionals.length === 0 || positionals.some((part) => name.includes(part));
/** Only the front rows. */
const isFront = values.quick && positionals.length === 0;
const benches = BENCHES.filter((bench) => wanted(bench) && (!isFront || FRONT.some((row) => row.bench === bench.name)));
const programs = isFront ? [] : PROGRAMS.filter(wanted);
if (values.publish && values.quick) {
  console.error(`Figures that are published come of ${ROUNDS} rounds: --publish goes without --quick`);
  process.exit(1);
}
if (benches.length + programs.length === 0) {
  const names = [...BENCHES, ...PROGRAMS].map(({ name }) => name).join(', ');
  console.error(`No bench is called ${positionals.join(' ')}; there are ${names}`);
  process.exit(1);
}

const machine = `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} × ${cpus()[0]?.model ?? '?'}`;
const rounds = values.quick ? QUICK_ROUNDS : ROUNDS;
const title = `${machine}; ${rounds} rounds of a second each after a warm-up of a second`;
console.log(`${title}\n`);

const results: BenchResult[] = [];
const broken: string[] = [];
for (const bench of benches) {
  const startedAt = performance.now();
  try {
    const claims = isFront ? (claim: Claim) => frontRowOf(bench.name, claim) !== undefined : undefined;
    const result = await runBench(bench, { rounds, claims });
    results.push(result);
    broken.push(...result.broken);
    console.log(resultLines(result).join('\n'));
  } catch (error) {
    // One that breaks takes nothing from the others, but the run cannot be called complete.
    broken.push(bench.name);
    console.log(`${bench.name} BROKE: ${error instanceof Error ? error.stack : String(error)}\n`);
  }
  console.log(`  took ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
}

const said: ProgramResult[] = [];
for (const program of programs) said.push(await runProgram(program, values.quick, values.publish));

const summary = summaryOf(results);
const { rows, left } = published(summary);
console.log(`Everything, what missed its goal first:\n\n${summaryTable(rows)}\n`);
for (const line of left) console.log(line);

const folder = path.join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
const file = path.join(folder, 'latest.local.json');
const resultsJson = (all: readonly BenchResult[]): string =>
  `${JSON.stringify({ machine, rounds, results: all, programs: said }, undefined, 2)}\n`;
writeFileSync(file, resultsJson(results));
writeFileSync(file.replace(/json$/, 'svg'), plot(rows, title));
if (values.publish) publish();

const count = (verdict: string): number => rows.filter((row) => row.verdict === verdict).length;
const trusted = results.every(({ controls }) => controls.every(({ ok }) => ok)) && said.every(({ ok }) => ok);
console.log(
  `${count('met')} goals met, ${count('missed')} missed; everything is in ${path.relative(process.cwd(), file)}`,
);
if (!trusted) console.log('A control failed: the rows it stands for are not published.');
if (broken.length > 0) console.log(`Broke: ${broken.join(', ')}`);
process.exitCode = trusted && broken.length === 0 ? 0 : 1;

/** What readers of docs/benchmarks.md get to see. What was not measured now stays as it was. */
function publish(): void {
  const docs = path.join(import.meta.dirname, '..', 'docs');
  const file = path.join(docs, 'benchmarks.json');
  const before = JSON.parse(readFileSync(file, 'utf8')) as { readonly results: readonly BenchResult[] };
  const all = BENCHES.flatMap(({ name }) => {
    const isOf = (result: BenchResult): boolean => result.name === name;
    return results.find(isOf) ?? before.results.find((result) => isOf(result) && result.rounds === ROUNDS) ?? [];
  });
  const { rows, left } = published(summaryOf(all));
  const leftOut = left.length === 0 ? '' : `\n\n${left.map((line) => `- ${line}`).join('\n')}`;
  putSection('summary', `${title}.${leftOut}\n\n${summaryTable(rows)}`);
  writeFileSync(file, resultsJson(all));
  writeFileSync(path.join(docs, 'benchmarks.svg'), plot(rows, title));
}
