/**
 * Runs tests: `npm test`, `npm test -- udp frag` (files whose path has one of these parts), `npm test -- --name=REGEX`.
 *
 * One line for each file, everything about what failed, what was skipped by name, and a closing line
 * `N passed, N failed, N skipped`. `--interop` runs interop/ instead of test/. Each file is a process of its own and
 * must end by itself: what keeps it alive is a leak, and after two minutes of silence fails the run.
 *
 * A file that fails runs once more when all others are over, since real sockets, processes and the kernel's networks
 * share the machine with whatever else runs on it. It counts as it ended then, and the closing lines name it as
 * unsteady: for a file in virtual time, that is a fault of its own. Where many files fail, nothing is repeated.
 */

import { globSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { run } from 'node:test';
import { inspect, parseArgs } from 'node:util';
import type { TestOutcome } from './test-outcome.ts';

const GROUPS = {
  unit: ['test/**/*.test.ts', 'apps/*/test/**/*.test.ts'],
  interop: ['interop/**/*.test.ts'],
};

/** With more failed files than this the machine is not the cause. */
const MOST_REPEATED = 8;

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
/** By file, as are the next two, so that a second attempt replaces the first. Bounded by the tests. */
const skipped = new Map<string, string[]>();
const outcomes = new Map<string, TestOutcome[]>();
const counted = new Map<string, { readonly passed: number; readonly failed: number; readonly skipped: number }>();
const failedFiles = new Set<string>();

const shortFile = (file: string | undefined): string => (file === undefined ? '?' : path.relative(root, file));

function listOf<T>(lists: Map<string, T[]>, file: string): T[] {
  const list = lists.get(file) ?? [];
  lists.set(file, list);
  return list;
}

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
  listOf(outcomes, shortFile(test.file)).push({ file: shortFile(test.file), name: fullName(test), outcome, why });
}

console.log(`Node ${process.version}, ${files.length} test files\n`);

const unfinished = new Set(files);
/** A file that ran no test is a mistake: its tests were lost, or never begun. The runner calls it passed. */
const withTests = new Set<string>();
const given = new AbortController();
/** The runner's own timeout does not end a file whose tests are over, but which something keeps alive. */
const watchdog = setTimeout(() => {
  for (const file of unfinished) failedFiles.add(file);
  console.log(`\nFAILED  to end within ${SILENCE_MS / 1000} s of silence: ${[...unfinished].join(', ')}\n`);
  given.abort();
}, SILENCE_MS);

/** Runs files, and takes down what happened in the maps above. */
async function runFiles(some: readonly string[], concurrency: number): Promise<void> {
  const stream = run({
    files: some.map((file) => path.join(root, file)),
    concurrency,
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
      const skips = skip !== undefined && skip !== false;
      note(event.data, skips ? 'skipped' : 'passed');
      if (skips) {
        const why = typeof skip === 'string' ? `: ${skip}` : '';
        listOf(skipped, shortFile(event.data.file)).push(fullName(event.data) + why);
      }
    } else if (event.type === 'test:fail') {
      failedFiles.add(shortFile(event.data.file));
      note(event.data, 'failed');
      reportFailure(event.data, event.data.details.error);
    } else if (event.type === 'test:stdout' || event.type === 'test:stderr') {
      const { file, message } = event.data;
      written.set(file, (written.get(file) ?? '') + message);
    } else if (event.type === 'test:summary') {
      const { file, counts, success, duration_ms: durationMs } = event.data;
      if (file === undefined) continue;
      const name = shortFile(file);
      unfinished.delete(name);
      if (counts.tests > 0) withTests.add(name);
      if (!success) failedFiles.add(name);
      // A file that fails as a whole has no failed test.
      const failed = Math.max(counts.failed + counts.cancelled, failedFiles.has(name) ? 1 : 0);
      counted.set(name, { passed: counts.passed, failed, skipped: counts.skipped + counts.todo });
      reportFile(file, counts, success, durationMs);
    }
  }
}

await runFiles(files, availableParallelism());
const again = given.signal.aborted || failedFiles.size > MOST_REPEATED ? [] : [...failedFiles];
for (const file of again) {
  console.log(`\nagain   ${file}`);
  for (const known of [failedFiles, counted, skipped, outcomes]) known.delete(file);
  written.delete(path.join(root, file));
  await runFiles([file], 1);
}
clearTimeout(watchdog);

for (const file of values.name === undefined ? files.filter((each) => !withTests.has(each)) : []) {
  failedFiles.add(file);
  console.log(`\nFAILED  ${file} ran no test\n`);
}
if (values.report !== undefined) writeFileSync(values.report, JSON.stringify([...outcomes.values()].flat()));

const skips = [...skipped.values()].flat();
if (skips.length > 0) console.log(`\nSkipped:\n${skips.map((name) => `  ${name}`).join('\n')}`);
const unsteady = again.filter((file) => !failedFiles.has(file));
if (unsteady.length > 0) console.log(`\nUnsteady (failed, and passed alone): ${unsteady.join(', ')}`);
const total = (of: 'passed' | 'failed' | 'skipped'): number =>
  [...counted.values()].reduce((sum, counts) => sum + counts[of], 0);
console.log(`\n${total('passed')} passed, ${total('failed')} failed, ${total('skipped')} skipped`);
process.exitCode = failedFiles.size > 0 ? 1 : 0;
