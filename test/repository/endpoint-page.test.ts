import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

it('every promise of docs/endpoint.md names a test that exists', () => {
  const tests = globSync('test/endpoint/*.test.ts', { cwd: root }).map(read).join('\n');
  const titles = new Set<string>();
  for (const [, , quoted] of tests.matchAll(/\bit\(\s*(['"`])([\s\S]*?)\1/g)) {
    titles.add(quoted!.replaceAll("\\'", "'").replaceAll('’', "'"));
  }
  // Those of tables of cases have their names in the tables.
  for (const [, what, code] of tests.matchAll(/\[\s*'([^']*)',\s*'[0-9a-f]*',\s*(\d),/g)) {
    titles.add(`${what}: the stream is stopped with ${code}, and the connection lives`);
  }
  const page = read('docs/endpoint.md').split('## Where shoal differs')[0]!;
  const rows = page.split('\n').filter((line) => line.startsWith('|') && !/^\|\s*(promise|-)/.test(line));
  assert.ok(rows.length > 40, `${rows.length} promises`);
  const missing = rows
    .map((row) => row.split('|').at(-2)!.trim().replaceAll('’', "'"))
    .filter((name) => !titles.has(name));
  assert.deepEqual(missing, []);
});
