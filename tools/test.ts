/**
 * Runs tests: `npm test`, `npm test -- udp frag` (files whose path has one of these parts), `npm test -- --name=REGEX`.
 *
 * One line for each file, everything about what failed, what was skipped by name, and a closing line
 * `N passed, N failed, N skipped`. `--interop` runs interop/ instead of test/. Each file is a process of its own and
 * must end by itself: what keeps it alive is a leak, and after two minutes of silence fails the run.
 */

import { globSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { inspect, parseArgs } from 'node:util';
import { type TestOutcome } from './test-outcome.ts';

const GROUPS = {
  unit: ['test/**/*.test.ts', 'apps/*/test/**/*.test.ts'],
  interop: ['interop/**/*.test.ts'],
};

/** After this long without a word from any test the run is given up; the slowest file takes seconds. */
const SILENCE_MS = 120_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { name: { type: 'string' }, interop: { type: 'boolean', default: false }, report: { type: 'string' } },
});

const root = path.dirname(import.meta.dirname);
const files = globSync(GROUPS[values.interop ? 'interop' : 'unit'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
})
  .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)))
  .toSorted();

if (files.length === 0) {
  console.error(`Cannot test: no test file matches ${positionals.join(' ')}`);
  process.exit(1);
}

interface Ended {
  readonly name: string;
  readonly nesting: number;
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly skip?: string | boolean | undefined;
}

/** The names above each running test, by file. Bounded by the files and the depth of their tests. */
const above = new Map<string, string[]>();
/** What each file wrote itself; shown only when it fails. */
const written = new Map<string, string>();
const skipped: string[] = [];
const outcomes: TestOutcome[] = [];
let failed = false;
let totals: { passed: number; failed: number; cancelled: number; skipped: number; todo: number } | undefined;

const shortFile = (file: string | undefined): string => (file === undefined ? '?' : path.relative(root, file));

function fullName(test: Ended): string {
  const names = above.get(test.file ?? '')?.slice(0, test.nesting) ?? [];
  return [...names, test.name].join(' > ');
}

/** Message and stack without the runner's own frames; an assertion has its difference in the message already. */
function explain(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 6 });
  const lines = (thrown.stack ?? String(thrown)).split('\n').filter((line) => !/^\s+at .*\bnode:internal/.test(line));
  const cause = thrown.cause === undefined ? '' : `\ncaused by ${explain(thrown.cause)}`;
  return lines.join('\n') + cause;
}

function reportFailure(test: Ended, error: Error & { failureType?: string }): void {
  if (error.failureType === 'subtestsFailed') return; // its subtests have said why
  // A file that fails as a whole (it cannot be loaded, say) has written why; the runner only knows that it failed.
  const whole = test.name === test.file ? written.get(test.name) : undefined;
  const text = whole ?? explain(error.cause ?? error);
  const place = test.line === undefined ? shortFile(test.file) : `${shortFile(test.file)}:${test.line}`;
  console.log(
    `\nFAILED  ${test.name === test.file ? 'to run' : fullName(test)}\n        ${place}\n${text.replace(/^/gm, '    ')}\n`,
  );
}

function reportFile(file: string, counts: Record<string, number>, success: boolean, durationMs: number): void {
  const output = written.get(file);
  if (!success && output !== undefined) console.log(`Written by ${shortFile(file)}:\n${output.replace(/^/gm, '    ')}`);
  const tests = `${counts['passed']} of ${counts['tests']}`.padStart(10);
  console.log(
    `${success ? 'ok    ' : 'FAILED'}  ${shortFile(file).padEnd(52)} ${tests}  ${durationMs.toFixed(0).padStart(6)} ms`,
  );
}

/** Takes a test down, not a group of tests. */
function note(
  test: Ended & { readonly details?: { readonly type?: string | undefined } },
  outcome: TestOutcome['outcome'],
): void {
  if (values.report === undefined || test.details?.type === 'suite' || test.name === test.file) return;
  const why = typeof test.skip === 'string' ? test.skip : undefined;
  outcomes.push({ file: shortFile(test.file), name: fullName(test), outcome, why });
}

console.log(`Node ${process.version}, ${files.length} test files\n`);

const unfinished = new Set(files);
/** A file that ran no test is a mistake: its tests were lost, or never begun. The runner calls it passed. */
const withTests = new Set<string>();
const given = new AbortController();
/** The runner's own timeout does not end a file whose tests are over, but which something keeps alive. */
const watchdog = setTimeout(() => {
  failed = true;
  console.log(`\nFAILED  to end within ${SILENCE_MS / 1000} s of silence: ${[...unfinished].join(', ')}\n`);
  given.abort();
}, SILENCE_MS);

const stream = run({
  files: files.map((file) => path.join(root, file)),
  concurrency: availableParallelism(),
  signal: given.signal,
  execArgv: ['--conditions=shoal-source'],
  ...(values.name === undefined ? {} : { testNamePatterns: [new RegExp(values.name)] }),
});

for await (const event of stream) {
  watchdog.refresh();
  if (event.type === 'test:start') {
    const names = above.get(event.data.file ?? '') ?? [];
    names[event.data.nesting] = event.data.name;
    above.set(event.data.file ?? '', names);
  } else if (event.type === 'test:pass') {
    const { skip } = event.data;
    note(event.data, skip === undefined || skip === false ? 'passed' : 'skipped');
    if (skip !== undefined && skip !== false)
      skipped.push(`${fullName(event.data)}${typeof skip === 'string' ? `: ${skip}` : ''}`);
  } else if (event.type === 'test:fail') {
    failed = true;
    note(event.data, 'failed');
    reportFailure(event.data, event.data.details.error);
  } else if (event.type === 'test:stdout' || event.type === 'test:stderr') {
    const { file, message } = event.data;
    written.set(file, (written.get(file) ?? '') + message);
  } else if (event.type === 'test:summary') {
    const { file, counts, success, duration_ms: durationMs } = event.data;
    if (!success) failed = true;
    if (file === undefined) totals = counts;
    else {
      unfinished.delete(shortFile(file));
      if (counts.tests > 0) withTests.add(shortFile(file));
      reportFile(file, counts, success, durationMs);
    }
  }
}

clearTimeout(watchdog);
for (const file of values.name === undefined ? files.filter((each) => !withTests.has(each)) : []) {
  failed = true;
  console.log(`\nFAILED  ${file} ran no test\n`);
}
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify(outcomes));

if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((name) => `  ${name}`).join('\n')}`);
if (totals === undefined) throw new Error('Bug in the test tool: the run ended without a summary');
console.log(
  `\n${totals.passed} passed, ${totals.failed + totals.cancelled} failed, ${totals.skipped + totals.todo} skipped`,
);
process.exitCode = failed ? 1 : 0;
