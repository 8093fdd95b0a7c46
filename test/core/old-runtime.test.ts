import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const { exports } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
const entries = Object.keys(exports).filter((entry) => !entry.includes('.json') && !entry.includes('.wasm'));

describe('a runtime that is too old', () => {
  it('is refused on one line by every entry of the package', () => {
    const names = entries.map((entry) => `shoal${entry.slice(1)}`);
    const program = `
      delete Promise.withResolvers;
      for (const name of ${JSON.stringify(names)}) {
        await import(name).then(
          () => console.log(name + ': loads'),
          (error) => /^Cannot load shoal: it needs Node 22 or newer, .*; this one has no Promise.withResolvers$/.test(error.message) || console.log(name + ': ' + error.message),
        );
      }`;
    const node = spawnSync(process.execPath, ['--conditions=shoal-source', '--input-type=module', '-e', program], {
      cwd: root,
      encoding: 'utf8',
    });
    assert.equal(node.stdout, '');
    assert.equal(node.status, 0, node.stderr);
    assert(names.length > 10);
  });
});
