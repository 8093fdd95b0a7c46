/**
 * Changes the code on purpose and watches whether the tests notice: `npm run mutate -- src/protocols/p2pke`.
 *
 *   npm run mutate -- PATH... [--count=60] [--seed=1] [--kind=check,bound] [--tests=PART,PART] [--budget=30] [--at-least=85]
 *
 * Picks `--count` changes of the files under PATH by `--seed`, makes one at a time in a copy of the checkout, and runs the
 * test files that run the changed line, the nearest first, until one fails; at most `--budget` seconds of them a change.
 * Lists what survived; `--at-least` is a kill rate in per cent below which the run fails. StrykerJS was tried: its command
 * runner knows no coverage, so each change would run the whole suite (minutes instead of a second).
 */

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { createSeededRandom, type SeededRandom } from '../../src/base/seeded-random.ts';
import { root } from '../public-modules.ts';
import { candidateTests, type Covered, coverageOf, runTest } from './coverage.ts';
import { type Kind, KINDS, type Mutant, mutantsOf } from './mutants.ts';

interface Place extends Mutant {
  /** From the root. */
  readonly file: string;
}

type Verdict = 'noticed' | 'survived' | 'not run by any test';

interface Judged {
  readonly place: Place;
  readonly verdict: Verdict;
  /** Which test noticed, or how many did not. */
  readonly by: string;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    kind: { type: 'string', default: KINDS.join(',') },
    tests: { type: 'string', default: '' },
    budget: { type: 'string', default: '30' },
    workers: { type: 'string', default: String(availableParallelism()) },
    'at-least': { type: 'string', default: '0' },
  },
});

/** A time limit for a test that a change may have made endless. */
const patience = (durationMs: number): number => Math.ceil(durationMs * 3 + 10_000);

function sourcesUnder(paths: readonly string[]): readonly string[] {
  const files = paths.flatMap((each) =>
    statSync(path.join(root, each)).isDirectory() ? globSync(`${each}/**/*.ts`, { cwd: root }) : [each],
  );
  return [...new Set(files.map((file) => path.posix.normalize(file.replaceAll(path.sep, '/'))))].toSorted();
}

/** Picks changes at random; never two of the same text at one place. */
function pick(places: readonly Place[], count: number, random: SeededRandom): readonly Place[] {
  const left = [...places];
  const picked: Place[] = [];
  while (picked.length < count && left.length > 0) {
    picked.push(...left.splice(Math.floor(random.next() * left.length), 1));
  }
  return picked.toSorted((a, b) => a.file.localeCompare(b.file) || a.start - b.start);
}

/** A copy of the checkout as it is now, in which files may be changed. */
function copyCheckout(target: string): string {
  rmSync(target, { recursive: true, force: true });
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'];
  const { status, stdout } = spawnSync('git', list, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status !== 0) throw new Error('Cannot list the files of the checkout: is this a git checkout?');
  for (const file of stdout.split('\0').filter((each) => each !== '' && !each.startsWith('bench/'))) {
    if (statSync(path.join(root, file), { throwIfNoEntry: false }) === undefined) continue;
    mkdirSync(path.dirname(path.join(target, file)), { recursive: true });
    copyFileSync(path.join(root, file), path.join(target, file));
  }
  // Packages are shared, but `shoal` must be the copy.
  mkdirSync(path.join(target, 'node_modules'));
  for (const name of readdirSync(path.join(root, 'node_modules'))) {
    const to = name === 'shoal' ? target : path.join(root, 'node_modules', name);
    symlinkSync(to, path.join(target, 'node_modules', name));
  }
  return target;
}

/** Tests of the same folder first, then the fast ones. */
function byNearness(file: string, tests: readonly Covered[]): readonly Covered[] {
  const words = file
    .replace(/^src\//, '')
    .replace(/\.ts$/, '')
    .split('/');
  const near = ({ test }: Covered): number => words.filter((word) => test.includes(word)).length;
  return tests.toSorted((a, b) => near(b) - near(a) || a.durationMs - b.durationMs);
}

async function judge(place: Place, folder: string, covered: readonly Covered[]): Promise<Judged> {
  const running = byNearness(
    place.file,
    covered.filter(({ lines }) => lines.get(place.file)?.has(place.line) === true),
  );
  if (running.length === 0) return { place, verdict: 'not run by any test', by: 'no test file' };
  const target = path.join(folder, place.file);
  const source = readFileSync(target, 'utf8');
  let budgetMs = Number(values.budget) * 1000;
  let tried = 0;
  writeFileSync(target, source.slice(0, place.start) + place.text + source.slice(place.end));
  try {
    for (const { test, durationMs } of running) {
      if (tried > 0 && durationMs > budgetMs) continue;
      budgetMs -= durationMs;
      tried++;
      const { code } = await runTest(folder, test, patience(durationMs));
      if (code !== 0) return { place, verdict: 'noticed', by: test };
    }
  } finally {
    writeFileSync(target, source);
  }
  return { place, verdict: 'survived', by: `${tried} of ${running.length} test files` };
}

function show({ place, verdict, by }: Judged): string {
  const lines = readFileSync(path.join(root, place.file), 'utf8').slice(place.start, place.end).split('\n');
  const before = lines.length === 1 ? lines[0]! : `${lines[0]} …`;
  return `${verdict.padEnd(9)} ${place.file}:${place.line} ${place.kind}: ${before}  →  ${place.text.split('\n')[0]}   (${by})`;
}

const percent = (part: number, whole: number): string => (whole === 0 ? '-' : `${((100 * part) / whole).toFixed(0)} %`);

function summarise(judged: readonly Judged[]): number {
  const rows = KINDS.map((kind) => [kind, judged.filter(({ place }) => place.kind === kind)] as const);
  console.log('');
  for (const [name, own] of [...rows, ['all', judged] as const]) {
    if (own.length === 0) continue;
    const noticed = own.filter(({ verdict }) => verdict === 'noticed').length;
    console.log(
      `${name.padEnd(11)} ${String(noticed).padStart(4)} of ${String(own.length).padStart(4)} noticed  ${percent(noticed, own.length)}`,
    );
  }
  return (100 * judged.filter(({ verdict }) => verdict === 'noticed').length) / Math.max(1, judged.length);
}

if (positionals.length === 0) throw new Error('Cannot mutate: expected files or folders, src/protocols/p2pke say');
const kinds = new Set(values.kind.split(',') as Kind[]);
const places = sourcesUnder(positionals).flatMap((file) =>
  mutantsOf(readFileSync(path.join(root, file), 'utf8'), file)
    .filter(({ kind }) => kinds.has(kind))
    .map((mutant): Place => ({ ...mutant, file })),
);
const chosen = pick(places, Number(values.count), createSeededRandom(values.seed));
const workers = Number(values.workers);
console.log(`${chosen.length} of ${places.length} changes, seed ${values.seed}, Node ${process.version}`);
const parts = values.tests.split(',').filter((part) => part !== '');
const covered = await coverageOf(root, candidateTests(root, parts), workers, (line) => console.log(line));

const waiting = [...chosen];
const judged: Judged[] = [];
await Promise.all(
  Array.from({ length: workers }, async (_, i) => {
    const folder = copyCheckout(path.join(root, 'build', 'mutate', `checkout-${i}`));
    for (let place = waiting.shift(); place !== undefined; place = waiting.shift()) {
      const result = await judge(place, folder, covered);
      judged.push(result);
      if (result.verdict !== 'noticed') console.log(show(result));
    }
    rmSync(folder, { recursive: true, force: true });
  }),
);
const rate = summarise(judged);
writeFileSync(
  path.join(root, 'build', 'mutate', 'report.json'),
  JSON.stringify({ seed: values.seed, judged }, undefined, 2),
);
if (rate < Number(values['at-least'])) process.exitCode = 1;
