import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { askFilter } from '../../src/core/filter.ts';

describe('askFilter', () => {
  it('takes true and false as they are', () => {
    assert.equal(
      askFilter(() => true),
      true,
    );
    assert.equal(
      askFilter(() => false),
      false,
    );
  });

  it('takes anything else for a fault, and a throw with its cause', () => {
    for (const answer of [1, 'true', {}, [], null, undefined, Promise.resolve(true), new Boolean(true)]) {
      assert.ok(askFilter(() => answer) instanceof TypeError);
    }
    const thrown = new RangeError('mine');
    assert.equal(
      askFilter(() => assert.fail(thrown)),
      thrown,
    );
    const odd = askFilter(() => {
      throw 'text';
    });
    assert.ok(odd instanceof Error && odd.cause === 'text');
  });

  it('a promise that rejects is a fault and ends no process', async () => {
    assert.ok(askFilter(() => Promise.reject(new Error('mine'))) instanceof TypeError);
    await new Promise<void>((resolve) => setImmediate(resolve));
  });
});
