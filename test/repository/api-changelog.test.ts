import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { checkChangelog } from '../../tools/api-changelog.ts';
import { API_REPORT } from '../../tools/public-modules.ts';

const made = mkdtempSync(path.join(tmpdir(), 'shoal-changelog-'));
after(() => rmSync(made, { recursive: true, force: true }));

/** A repository with one commit for each set of files. */
function repository(name: string, ...commits: readonly Readonly<Record<string, string>>[]): string {
  const folder = path.join(made, name);
  mkdirSync(folder);
  const git = (...args: string[]): void => {
    const identity = ['-c', 'user.name=alice', '-c', 'user.email=alice@example.org', '-c', 'commit.gpgsign=false'];
    execFileSync('git', [...identity, ...args], { cwd: folder, stdio: 'pipe' });
  };
  git('init', '--quiet');
  for (const files of commits) {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
      writeFileSync(path.join(folder, file), text);
    }
    git('add', '--all');
    git('commit', '--quiet', '--message', 'change');
  }
  return folder;
}

const first = { [API_REPORT]: 'export a;', 'CHANGELOG.md': '- a' };

describe('checkChangelog', () => {
  it('is content while the API stays what it was', () => {
    assert.deepEqual(checkChangelog(repository('same', first, { 'src.ts': '1' })), { fault: undefined });
  });

  it('finds a change of the API that the changelog does not tell of', () => {
    const folder = repository('silent', first, { [API_REPORT]: 'export b;' }, { 'src.ts': '1' });
    const result = checkChangelog(folder);
    assert.ok('fault' in result);
    assert.match(result.fault ?? '', /has changed since CHANGELOG\.md last did/);
  });

  it('is content when the changelog changed with the API or after it', () => {
    const told = { [API_REPORT]: 'export b;', 'CHANGELOG.md': '- a\n- b' };
    assert.deepEqual(checkChangelog(repository('with', first, told)), { fault: undefined });
    const later = repository('after', first, { [API_REPORT]: 'export b;' }, { 'CHANGELOG.md': '- a\n- b' });
    assert.deepEqual(checkChangelog(later), { fault: undefined });
  });

  it('is content when the line is written but not committed yet', () => {
    const folder = repository('writing', first);
    writeFileSync(path.join(folder, API_REPORT), 'export b;');
    assert.notDeepEqual(checkChangelog(folder), { fault: undefined });
    writeFileSync(path.join(folder, 'CHANGELOG.md'), '- a\n- b');
    assert.deepEqual(checkChangelog(folder), { fault: undefined });
  });

  it('is skipped without the history', () => {
    const whole = repository('whole', first, { [API_REPORT]: 'export b;' });
    const shallow = path.join(made, 'shallow');
    execFileSync('git', ['clone', '--quiet', '--depth=1', `file://${whole}`, shallow], { stdio: 'pipe' });
    assert.deepEqual(checkChangelog(shallow), { skipped: 'no complete git history here' });
    const bare = path.join(made, 'no-git');
    mkdirSync(bare);
    assert.deepEqual(checkChangelog(bare), { skipped: 'no complete git history here' });
  });
});
