import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');

interface Named {
  readonly file: string;
  readonly name: string | undefined;
}

/** The tests that a line names: a file in backticks, perhaps with the name of one test behind it. */
const namedIn = (line: string): Named[] =>
  [...line.matchAll(/`(test\/[^`]+)`(?: "([^"]+)")?/g)].map(([, file, name]) => ({ file: file!, name }));

describe('INVARIANTS.md', () => {
  const sections = readFileSync(path.join(root, 'INVARIANTS.md'), 'utf8').split(/^### /m).slice(1);

  it('has many', () => assert.ok(sections.length >= 20));

  for (const section of sections) {
    const [title] = section.split('\n');
    it(`${title}: statement, enforcement, failure mode, and tests that exist`, () => {
      for (const part of ['Statement', 'Enforcement', 'Failure mode', 'Test'])
        assert.ok(section.includes(`- **${part}.**`), part);
      const tests = namedIn(section.slice(section.indexOf('- **Test.**')));
      assert.ok(tests.length > 0);
      for (const { file, name } of tests) {
        assert.ok(existsSync(path.join(root, file)), file);
        if (name === undefined) continue;
        const source = readFileSync(path.join(root, file), 'utf8');
        assert.ok(source.includes(name), `${file} has no test "${name}"`);
      }
    });
  }

  it('a name that no test has is found out', () => {
    assert.deepEqual(namedIn('- **Test.** `test/a.test.ts` "one" · `test/b.test.ts`'), [
      { file: 'test/a.test.ts', name: 'one' },
      { file: 'test/b.test.ts', name: undefined },
    ]);
  });
});
