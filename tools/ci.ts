/**
 * Everything that has to hold: `npm run ok`, and `.ci/run` on a machine for it.
 *
 * Steps run one after the other, each with its output kept in build/ci/; one line for each, the whole output of what
 * failed, one closing summary. The exit code is that of the worst step.
 */

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { root } from './public-modules.ts';

interface Step {
  readonly name: string;
  /** An npm script, with arguments. */
  readonly script: readonly string[];
  /** Whether the tests it runs are counted in the closing line; the others run the same ones again. */
  readonly counts?: boolean;
  /** The folder it is about, where that may be absent; then the step is left out. */
  readonly folder?: string;
}

const STEPS: readonly Step[] = [
  { name: 'tests, Node 26', script: ['test'], counts: true },
  { name: 'tests, Node 24', script: ['test:24'] },
  { name: 'interop', script: ['interop'], counts: true, folder: 'interop' },
  { name: 'types', script: ['check'] },
  { name: 'lint', script: ['lint'] },
  { name: 'format', script: ['fmt'] },
  { name: 'unused code', script: ['knip'] },
  { name: 'package', script: ['pack:check'] },
  { name: 'browser', script: ['test:browser'], counts: true },
  { name: 'API report', script: ['api'] },
  { name: 'doc comments', script: ['docs'] },
  { name: 'snippets', script: ['snippets'] },
  { name: 'examples', script: ['examples'] },
  { name: 'fuzzing', script: ['fuzz', '--', '--inputs=50000'] },
  { name: 'fresh clone', script: ['fresh'] },
  { name: 'engine tests', script: ['engine:test'] },
  { name: 'engine rebuild', script: ['engine:rebuild'] },
];

const LOGS = path.join(root, 'build', 'ci');

interface Result {
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

async function run({ name, script }: Step): Promise<Result> {
  const startedAt = performance.now();
  const child = spawn('npm', ['run', '--silent', ...script], { cwd: root, shell: process.platform === 'win32' });
  child.stdin.end();
  const log = createWriteStream(path.join(LOGS, `${name.replaceAll(/\W+/g, '-')}.log`));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      log.write(chunk);
    });
  }
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      output += String(error);
      resolve(null);
    });
    child.on('close', resolve);
  });
  log.end();
  return { ok: code === 0, output, seconds: (performance.now() - startedAt) / 1000 };
}

/** The last line of an output that says something. */
const lastLine = (output: string): string => output.trimEnd().split('\n').at(-1)?.trim() ?? '';

/** What a step left out: tests by name in a list, or all or a part of the step in a line of its own. */
function skippedIn(output: string): readonly string[] {
  const lists = [...output.matchAll(/^Skipped:\n((?: {2}.*\n)+)/gm)];
  const tests = lists.flatMap(([, list]) => list!.trimEnd().split('\n'));
  const parts = output.matchAll(/^skipped: (.*)$/gm);
  return [...tests.map((line) => line.trim()), ...[...parts].map(([, what]) => what!)];
}

/** What failed in an output: each test with the first lines of why, or the last lines of a step that runs no tests. */
function failuresIn(output: string): string {
  const lines = output.trimEnd().split('\n');
  const tests = lines.flatMap((line, at) => (line.startsWith('FAILED  ') && !line.endsWith(' ms') ? [at] : []));
  if (tests.length === 0) return lines.slice(-15).join('\n');
  return tests
    .slice(0, 10)
    .flatMap((at) => lines.slice(at, at + 12))
    .join('\n');
}

/** The files of an output that had to run twice. */
const unsteadyIn = (output: string): readonly string[] =>
  [...output.matchAll(/^Unsteady .*: (.*)$/gm)].flatMap(([, names]) => names!.split(', '));

/** The test files of an output with their milliseconds. */
const filesIn = (output: string): readonly (readonly [name: string, ms: number])[] =>
  [...output.matchAll(/^ok {4} {2}(\S+) +\d+ of \d+ +(\d+) ms$/gm)].map(([, name, ms]) => [name!, Number(ms)]);

rmSync(LOGS, { recursive: true, force: true });
mkdirSync(LOGS, { recursive: true });
console.log(`Checks on Node ${process.version}, ${process.platform} ${process.arch}\n`);

const failures: (readonly [step: string, what: string])[] = [];
const counts = { passed: 0, failed: 0, skipped: 0 };
const skips = new Map<string, string>();
const unsteady: string[] = [];
const steps: (readonly [name: string, ms: number])[] = [];
const files: (readonly [name: string, ms: number])[] = [];
for (const step of STEPS) {
  if (step.folder !== undefined && !existsSync(path.join(root, step.folder))) continue;
  const { ok, output, seconds } = await run(step);
  const last = lastLine(output);
  const word = ok ? (last.startsWith('skipped: ') ? 'skipped' : 'ok') : 'FAILED';
  console.log(`${word.padEnd(7)} ${step.name.padEnd(16)} ${seconds.toFixed(1).padStart(6)} s   ${last}`);
  steps.push([step.name, seconds * 1000]);
  if (!ok) {
    failures.push([step.name, failuresIn(output)]);
    console.log(`\n${output.trimEnd().replaceAll(/^/gm, '  | ')}\n`);
  }
  for (const file of unsteadyIn(output)) unsteady.push(`${step.name}: ${file}`);
  // The same test is skipped under each Node: it is named once.
  for (const what of skippedIn(output)) if (!skips.has(what)) skips.set(what, step.name);
  if (step.counts !== true) continue;
  files.push(...filesIn(output));
  const [, passed, failed] = /^(\d+) passed, (\d+) failed, \d+ skipped$/m.exec(output) ?? [];
  counts.passed += Number(passed ?? 0);
  counts.failed += Number(failed ?? 0);
}
counts.skipped = skips.size;

/** The slowest of some, for people. */
const slowest = (all: typeof steps, most: number): string =>
  all
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, most)
    .map(([name, ms]) => `${name} ${(ms / 1000).toFixed(1)} s`)
    .join(', ');

console.log(`Slowest steps: ${slowest(steps, 5)}`);
console.log(`Slowest test files: ${slowest(files, 5)}`);
if (skips.size > 0) console.log(`Skipped:\n${[...skips].map(([what, step]) => `  ${step}: ${what}`).join('\n')}`);
if (unsteady.length > 0) console.log(`Unsteady:\n${unsteady.map((line) => `  ${line}`).join('\n')}`);
// Once more at the end, where whoever reads a long log looks first.
for (const [step, what] of failures) console.log(`\n${step}:\n${what.replaceAll(/^/gm, '  | ')}`);
console.log(failures.length === 0 ? 'Everything holds.' : `\nFailed: ${failures.map(([step]) => step).join('; ')}.`);
console.log(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = failures.length === 0 ? 0 : 1;
