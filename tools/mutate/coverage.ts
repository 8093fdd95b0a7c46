/** Which lines of `src/` each test file runs, by V8's own coverage; remembered in build/mutate/ until a file of it changes. */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What is known of one test file. */
export interface Covered {
  readonly test: string;
  readonly durationMs: number;
  /** The lines, one-based, of each file of `src/` or `apps/` that it runs. */
  readonly lines: ReadonlyMap<string, ReadonlySet<number>>;
}

interface Remembered {
  readonly durationMs: number;
  readonly passed: boolean;
  /** A hash over the test and all files that it loaded. */
  readonly hash: string;
  readonly lines: Readonly<Record<string, readonly number[]>>;
}

/** How a process ended. */
export interface Ended {
  /** Undefined where the time was over. */
  readonly code: number | null | undefined;
  readonly durationMs: number;
}

/** Runs one test file in a checkout. @param timeoutMs - then the process is killed. */
export async function runTest(root: string, test: string, timeoutMs: number, coverage?: string): Promise<Ended> {
  const startedAt = performance.now();
  const env = { ...process.env, ...(coverage === undefined ? {} : { NODE_V8_COVERAGE: coverage }) };
  const options = { cwd: root, env, stdio: 'ignore', timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
  const child = spawn(process.execPath, ['--conditions=shoal-source', test], options);
  const code = await new Promise<number | null | undefined>((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', (status, signal) => resolve(signal === 'SIGKILL' ? undefined : status));
  });
  return { code, durationMs: performance.now() - startedAt };
}

/** The longest that one test file may take when nothing was changed. */
const LONGEST_MS = 240_000;

/**
 * Runs every test file once, two at a time, unless it is known what it covers.
 *
 * @param tests - paths from `root`.
 * @param say - told of each file that is run.
 */
export async function coverageOf(
  root: string,
  tests: readonly string[],
  workers: number,
  say: (line: string) => void,
): Promise<readonly Covered[]> {
  const folder = path.join(root, 'build', 'mutate');
  mkdirSync(folder, { recursive: true });
  const cache = path.join(folder, 'coverage.json');
  const known = readCache(cache);
  const fresh = new Map<string, Remembered>();
  const waiting = [...tests];
  const work = async (): Promise<void> => {
    for (let test = waiting.shift(); test !== undefined; test = waiting.shift()) {
      const before = known[test];
      if (before !== undefined && before.hash === hashOf(root, test, Object.keys(before.lines))) {
        fresh.set(test, before);
        continue;
      }
      const seen = await observe(root, test);
      say(`${seen.passed ? 'covers ' : 'FAILS  '} ${test} (${seen.durationMs.toFixed(0)} ms)`);
      fresh.set(test, seen);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  writeFileSync(cache, JSON.stringify({ ...known, ...Object.fromEntries(fresh) }));
  return [...fresh]
    .filter(([, { passed }]) => passed)
    .map(([test, { durationMs, lines }]) => ({
      test,
      durationMs,
      lines: new Map(Object.entries(lines).map(([file, numbers]) => [file, new Set(numbers)])),
    }));
}

function readCache(file: string): Readonly<Record<string, Remembered>> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, Remembered>>;
  } catch {
    return {}; // the first run, or one that was cut off
  }
}

function hashOf(root: string, test: string, files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of [test, ...files.toSorted()]) {
    try {
      hash.update(`${file}\n`).update(readFileSync(path.join(root, file)));
    } catch {
      hash.update('gone');
    }
  }
  return hash.digest('hex');
}

async function observe(root: string, test: string): Promise<Remembered> {
  const folder = mkdtempSync(path.join(tmpdir(), 'shoal-coverage-'));
  try {
    const { code, durationMs } = await runTest(root, test, LONGEST_MS, folder);
    const lines = linesRun(root, folder);
    return { durationMs, passed: code === 0, hash: hashOf(root, test, Object.keys(lines)), lines };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly Range[] }[];
}

/** Reads what V8 wrote for all processes of a test. Types are stripped in place, so offsets are those of the sources. */
function linesRun(root: string, folder: string): Record<string, readonly number[]> {
  const lines = new Map<string, Set<number>>();
  for (const name of readdirSync(folder)) {
    const { result } = JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as {
      readonly result: readonly Script[];
    };
    for (const { url, functions } of result) {
      if (!url.startsWith('file:')) continue;
      const file = path.relative(root, fileURLToPath(url)).replaceAll(path.sep, '/');
      if (!/^(?:src|apps\/[^/]+\/src)\//.test(file)) continue;
      const run = lines.get(file) ?? new Set<number>();
      lines.set(file, run);
      for (const line of linesOf(readFileSync(path.join(root, file), 'utf8'), functions)) run.add(line);
    }
  }
  return Object.fromEntries([...lines].map(([file, numbers]) => [file, [...numbers].toSorted((a, b) => a - b)]));
}

/** The lines whose first character stands in a range that ran: the innermost one decides. */
function* linesOf(source: string, functions: Script['functions']): Iterable<number> {
  const ranges = functions
    .flatMap((each) => each.ranges)
    .toSorted((a, b) => a.endOffset - a.startOffset - (b.endOffset - b.startOffset));
  let offset = 0;
  for (const [i, line] of source.split('\n').entries()) {
    const at = offset + (line.length - line.trimStart().length);
    offset += line.length + 1;
    if (line.trim() === '') continue;
    const innermost = ranges.find(({ startOffset, endOffset }) => startOffset <= at && at < endOffset);
    if (innermost !== undefined && innermost.count > 0) yield i + 1;
  }
}

/** The test files that a mutation run may use: all but those that are about the repository or about types. */
export function candidateTests(root: string, parts: readonly string[]): readonly string[] {
  const files = globSync(['test/**/*.test.ts', 'apps/*/test/**/*.test.ts'], {
    cwd: root,
    exclude: ['**/node_modules/**'],
  });
  return files
    .map((file) => file.replaceAll(path.sep, '/'))
    .filter((file) => !/^test\/(?:repository|types|browser)\//.test(file))
    .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)))
    .toSorted();
}
