import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createMemoryCells } from '../../src/cells/memory.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { LYING_CELL_RULES, lyingCell } from '../../src/testing/lying-cell.ts';
import { CELL_RULES, cellSuite } from '../../src/testing/suites/cells.ts';
import type { SuiteRunner } from '../../src/testing/suites/index.ts';

async function failures(rule: string | undefined): Promise<string[]> {
  const tests: { readonly name: string; readonly body: () => Promise<void> }[] = [];
  const runner: SuiteRunner = { describe: (_, body) => body(), it: (name, body) => tests.push({ name, body }) };
  cellSuite(runner, 'liar', {
    make: (n) => {
      const store = createMemoryCells({ maxBytes: 256, realm: systemRealm });
      const cells = Array.from({ length: n }, () => store.cell('a'));
      return Promise.resolve({
        cells: rule === undefined ? cells : cells.map((cell) => lyingCell(cell, rule)),
        other: store.cell('b'),
        [Symbol.asyncDispose]: () => store.close(),
      });
    },
    manyCalls: 20,
  });
  const failed: string[] = [];
  // A lie may keep the tests of other rules busy until their deadlines.
  const chosen = rule === undefined ? tests : tests.filter(({ name }) => name === rule);
  for (const { name, body } of chosen) await body().catch(() => failed.push(name));
  return failed;
}

describe('lyingCell', () => {
  it('passes the suite when it tells the truth', async () => {
    assert.deepEqual(await failures(undefined), []);
  });

  it('can break every rule of the suite but one, which needs two cells', () => {
    assert.deepEqual(
      CELL_RULES.filter((rule) => !LYING_CELL_RULES.includes(rule)),
      ['other cells are others'],
    );
  });

  for (const rule of LYING_CELL_RULES) {
    it(`is found out: ${rule}`, async () => {
      assert.deepEqual(await failures(rule), [rule]);
    });
  }

  it('is found out: other cells are others', async () => {
    const store = createMemoryCells();
    const tests: (() => Promise<void>)[] = [];
    cellSuite(
      { describe: (_, body) => body(), it: (name, body) => name === 'other cells are others' && tests.push(body) },
      'liar',
      {
        make: () =>
          Promise.resolve({
            cells: [store.cell('a')],
            other: store.cell('a'),
            [Symbol.asyncDispose]: () => Promise.resolve(),
          }),
      },
    );
    await assert.rejects(tests[0]!(), /other cells are others/);
  });

  it('knows no other rule', () => {
    assert.throws(() => lyingCell(createMemoryCells().cell('a'), 'no such rule'), TypeError);
  });
});
