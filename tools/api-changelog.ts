/**
 * Whoever changes the public API says so in CHANGELOG.md: the API report may not differ from what it was when
 * CHANGELOG.md was last changed. Needs the history; without it the check is skipped, and says so.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { API_REPORT, root } from './public-modules.ts';

/** @param folder - a checkout. @returns what is wrong, or undefined; `skipped` says why nothing can be told. */
export function checkChangelog(folder: string): { readonly skipped: string } | { readonly fault: string | undefined } {
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync('git', args, { cwd: folder, encoding: 'utf8' });
    return status === 0 ? stdout : undefined;
  };
  if (git('rev-parse', '--is-shallow-repository')?.trim() !== 'false')
    return { skipped: 'no complete git history here' };
  if (git('status', '--porcelain', '--', 'CHANGELOG.md') !== '') return { fault: undefined };
  const changed = git('log', '-1', '--format=%H', '--', 'CHANGELOG.md')?.trim();
  if (changed === undefined || changed === '') return { skipped: 'CHANGELOG.md has no history' };
  const before = git('show', `${changed}:${API_REPORT}`) ?? '';
  if (before === readFileSync(path.join(folder, API_REPORT), 'utf8')) return { fault: undefined };
  const since = git('diff', '--stat', changed, '--', API_REPORT) ?? '';
  return {
    fault: `${API_REPORT} has changed since CHANGELOG.md last did; say there what changes for users.\n${since}`,
  };
}

if (import.meta.main) {
  const result = checkChangelog(root);
  if ('skipped' in result) console.log(`skipped: ${result.skipped}`);
  else if (result.fault === undefined) console.log('CHANGELOG.md is as new as the API report');
  else {
    console.log(result.fault);
    process.exitCode = 1;
  }
}
