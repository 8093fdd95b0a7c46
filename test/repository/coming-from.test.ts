import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

const range = (letter: string, from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `${letter}${String(from + i).padStart(2, '0')}`);

/** The rows that each guide must have: a line that begins with the row and names a test. */
const GUIDES: Readonly<Record<string, readonly string[]>> = {
  'docs/coming-from-crust.md': range('C', 1, 62),
  'docs/coming-from-qp2p.md': range('Q', 33, 42),
};

interface Named {
  readonly file: string;
  readonly name: string;
}

/** The tests that a line names: a file in backticks with the name of a test behind it. */
const namedIn = (line: string): Named[] =>
  [...line.matchAll(/`(test\/[^`]+)` "([^"]+)"/g)].map(([, file, name]) => ({ file: file!, name: name! }));

/** Whether a file has a test of exactly this name. */
function hasTest({ file, name }: Named): boolean {
  if (!existsSync(path.join(root, file))) return false;
  const quoted = ["'", '`', '"'].map((quote) => `it(${quote}${name}${quote}`);
  const source = read(file);
  return quoted.some((each) => source.includes(each));
}

for (const [guide, rows] of Object.entries(GUIDES)) {
  describe(guide, () => {
    const lines = read(guide).split('\n');
    for (const row of rows) {
      it(`row ${row} names tests that exist`, () => {
        const found = lines.filter((line) => line.startsWith(`| ${row} `));
        assert.equal(found.length, 1, `${found.length} lines for ${row}`);
        const tests = namedIn(found[0]!);
        assert.ok(tests.length > 0, `${row} names no test`);
        for (const test of tests) assert.ok(hasTest(test), `${test.file} has no test "${test.name}"`);
      });
    }
  });
}

describe('the check of guides', () => {
  it('finds names that no test has, and half names', () => {
    const file = 'test/repository/coming-from.test.ts';
    assert.equal(hasTest({ file, name: 'finds names that no test has, and half names' }), true);
    assert.equal(hasTest({ file, name: 'finds names that no test has' }), false);
    assert.equal(hasTest({ file: 'test/none.test.ts', name: 'finds' }), false);
    assert.deepEqual(namedIn('| C01 | a | `test/a.test.ts` "one" · `test/b.test.ts` "two" |'), [
      { file: 'test/a.test.ts', name: 'one' },
      { file: 'test/b.test.ts', name: 'two' },
    ]);
  });
});
