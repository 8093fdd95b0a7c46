import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { IdMap } from '../../src/base/id-map.ts';
import * as fc from '../support/fast-check.ts';

describe('IdMap', () => {
  it('does what a Map does, for any numbers in any order', () => {
    const id = fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: 100 }).map((n) => n * 4096),
      fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    );
    const step = fc.tuple(fc.constantFrom('set', 'set', 'delete', 'get'), id, fc.integer());
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const [ours, theirs] = [new IdMap<number>(), new Map<number, number>()];
        for (const [what, key, value] of steps) {
          if (what === 'set') {
            ours.set(key, value);
            theirs.set(key, value);
          } else if (what === 'delete') assert.equal(ours.delete(key), theirs.delete(key));
          assert.equal(ours.get(key), theirs.get(key));
          assert.equal(ours.has(key), theirs.has(key));
          assert.equal(ours.size, theirs.size);
        }
        for (const [key, value] of theirs) assert.equal(ours.get(key), value);
        const all = [...theirs].toSorted(([a], [b]) => a - b);
        assert.deepEqual(ours.clear(), all);
        assert.equal(ours.size, 0);
        for (const [key] of all) assert.equal(ours.has(key), false);
      }),
    );
  });

  it('keeps undefined as a value, and tells it from none', () => {
    const map = new IdMap<undefined>();
    assert.equal(map.has(0), false);
    map.set(0, undefined);
    assert.equal(map.has(0), true);
    assert.equal(map.delete(0), true);
    assert.equal(map.delete(0), false);
  });
});
