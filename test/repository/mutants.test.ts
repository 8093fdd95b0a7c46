import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mutantsOf } from '../../tools/mutate/mutants.ts';

/** The whole text after each change. */
function changed(source: string): readonly string[] {
  return mutantsOf(source, 'file.ts').map(({ start, end, text }) => source.slice(0, start) + text + source.slice(end));
}

describe('the changes of a mutation run', () => {
  it('remove a check, and move its bound by one', () => {
    assert.deepEqual(changed('if (size > limit) return;'), [
      'if (false as boolean) return;',
      'if (true as boolean) return;',
      'if (size >= limit) return;',
    ]);
    assert.deepEqual(
      mutantsOf('if (size > limit) return;', 'file.ts').map(({ kind }) => kind),
      ['check', 'condition', 'bound'],
    );
  });

  it('keep one side of a condition', () => {
    assert.deepEqual(changed('const fits = known && small(size);'), [
      'const fits = (known);',
      'const fits = (small(size));',
    ]);
  });

  it('remove calls and assignments, await included', () => {
    assert.deepEqual(changed('await stop();'), [';']);
    assert.deepEqual(changed('this.open = next;'), [';']);
    assert.deepEqual(changed('count++;'), [';']);
  });

  it('move constants: small ones by one, large ones by ten times', () => {
    assert.deepEqual(changed('const LIMIT = 4;'), ['const LIMIT = 5;']);
    assert.deepEqual(changed('const LIMIT_MS = 5_000;'), ['const LIMIT_MS = 50000;']);
  });

  it('replace a drop reason', () => {
    assert.deepEqual(changed("const reason = 'queue_full';"), ["const reason = 'mutated';"]);
    assert.deepEqual(changed("const text = 'Hello';"), []);
  });

  it('leave types, imports, assertions and the texts of errors alone', () => {
    const source = [
      "import { limit } from './queue_full.ts';",
      "type Reason = 'queue_full' | 4;",
      "assert(size < 4, 'a bug');",
      'const text = `${size + 4} bytes`;',
    ].join('\n');
    assert.deepEqual(changed(source), []);
  });

  it('say the line, from one', () => {
    assert.deepEqual(
      mutantsOf('\n\nstop();', 'file.ts').map(({ line }) => line),
      [3],
    );
  });
});
