import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const sourcesOf = (...patterns: readonly string[]): string =>
  patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }).map(read))
    .join('\n')
    .replaceAll("\\'", "'")
    .replaceAll('’', "'");

describe('manifests name tests that exist', () => {
  it('test/endpoint/promises.json: every promise of the endpoint', () => {
    const sources = sourcesOf('test/endpoint/*.test.ts');
    const manifest = JSON.parse(read('test/endpoint/promises.json')) as Readonly<Record<string, readonly string[]>>;
    assert.ok(Object.keys(manifest).length > 40);
    // Titles of tables of cases are put together: their first part has to be there.
    const missing = Object.values(manifest)
      .flat()
      .filter((title) => !sources.includes(title) && !sources.includes(title.split(': the stream is stopped')[0]!));
    assert.deepEqual(missing, []);
    const page = read('docs/endpoint.md');
    assert.deepEqual(
      Object.keys(manifest).filter((promise) => !page.includes(promise)),
      [],
      'promises that the page does not make',
    );
  });

  it('test/node/pea2pea.json: every behaviour of pea2pea', () => {
    const sources = sourcesOf('test/node/*.test.ts', 'test/real-network/*.test.ts');
    const manifest = Object.values(JSON.parse(read('test/node/pea2pea.json')) as Readonly<Record<string, string>>);
    assert.ok(manifest.length >= 35);
    for (const titles of manifest) {
      if (titles.includes('`')) continue; // A file or an example.
      const [title] = titles.split('; ');
      assert.ok(sources.includes(title!.replace(' … ', ' ').replace(/ …$/, '').trim()), titles);
    }
  });
});
