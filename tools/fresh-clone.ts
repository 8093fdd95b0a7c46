/**
 * Proves that a fresh clone starts and tests itself: copies what git tracks to an empty folder, without node_modules,
 * and runs `npm start` and `npm test` there, each with nothing prepared, on the Node that the machine has. Of the tests
 * it runs those of a few folders: all of them run in the checkout, and what is proven here is the set-up.
 */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { root } from './public-modules.ts';

/** Parts of the paths of the test files that are run. */
const TESTS = ['test/base', 'test/core', 'test/runtime', 'test/wrappers', 'test/swarms'] as const;

/** PATH as it was before the launcher put its own Node in front. */
function pathOfTheMachine(): string {
  const own = path.dirname(process.execPath);
  const parts = (process.env['PATH'] ?? '').split(path.delimiter);
  return parts.filter((part) => part !== own && !part.includes('node_modules')).join(path.delimiter);
}

/** The files of the checkout as they are now, new ones included, ignored ones not. */
function trackedFiles(): readonly string[] {
  const { status, stdout, stderr } = spawnSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'],
    { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  if (status !== 0) throw new Error(`Cannot list the files of the checkout: ${stderr}`);
  return stdout.split('\0').filter((file) => file !== '');
}

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-fresh-'));
try {
  for (const file of trackedFiles()) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    copyFileSync(path.join(root, file), path.join(folder, file));
  }
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    scripts: Readonly<Record<string, string>>;
  };
  // No npm_* variables of the run that started this one: a user has none.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  // And an empty cache of npm: every package comes from the registry, as on a machine that never saw one.
  const cache = path.join(folder, '.npm-cache');
  const env = { ...Object.fromEntries(inherited), PATH: pathOfTheMachine(), npm_config_cache: cache };
  for (const [command, ...parts] of [['start'], ['test', '--', ...TESTS]] as const) {
    if (!(command in scripts)) continue;
    for (const fetched of ['node_modules', 'tools/node/26/node_modules', '.npm-cache']) {
      rmSync(path.join(folder, fetched), { recursive: true, force: true });
    }
    const startedAt = performance.now();
    const ended = spawnSync('npm', [command, ...parts], { cwd: folder, env, encoding: 'utf8', maxBuffer: 64 << 20 });
    const took = ((performance.now() - startedAt) / 1000).toFixed(1);
    if (ended.status !== 0) {
      console.log(ended.stdout + ended.stderr);
      throw new Error(`npm ${command} failed in a fresh clone: ${ended.error?.message ?? `exit code ${ended.status}`}`);
    }
    console.log(`npm ${command} works in a fresh clone, set-up included, in ${took} s`);
  }
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
