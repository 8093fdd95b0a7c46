import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { apply } from '../../src/cells/apply.ts';
import type { Cell } from '../../src/cells/cell.ts';
import { createMemoryCell } from '../../src/cells/memory.ts';
import { P2PError } from '../../src/core/errors.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
const count = (value: Uint8Array): Uint8Array => encodeText(`${Number(decodeText(value)) + 1}`);
const code = (code: P2PError['code'], sent: 'no' | 'maybe') => (error: unknown) =>
  P2PError.is(error, code) && error.sent === sent;

/** A cell whose swaps fail a few times first, before or after they have taken effect. */
function failing(inner: Cell, times: number, sent: 'no' | 'maybe'): Cell {
  let left = times;
  return {
    ...inner,
    maxBytes: inner.maxBytes,
    realm: inner.realm,
    get: (options) => inner.get(options),
    cas: async (expected, next, options) => {
      if (left-- <= 0) return inner.cas(expected, next, options);
      if (sent === 'maybe') await inner.cas(expected, next, options);
      throw new P2PError('unreachable', 'remote', 'the answer is lost', { sent });
    },
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}

describe('apply', () => {
  it('changes the cell by what it holds', async () => {
    const cell = createMemoryCell({ realm });
    const first = await realm.clock.run(apply(cell, count));
    assert.deepEqual({ ...first, value: decodeText(first.value) }, { changed: true, value: '1', attempts: 1 });
    assert.equal(decodeText((await realm.clock.run(apply(cell, count))).value), '2');
  });

  it('leaves the cell as it is when there is no next value', async () => {
    const cell = createMemoryCell({ realm });
    const result = await realm.clock.run(apply(cell, () => undefined));
    assert.deepEqual(result, { changed: false, value: new Uint8Array(0), attempts: 1 });
  });

  it('counts every one of many writers', async () => {
    const cell = createMemoryCell({ realm });
    const writers = Array.from({ length: 20 }, () => apply(cell, count, { maxAttempts: 1000 }));
    await realm.clock.run(Promise.all(writers));
    assert.equal(decodeText(await realm.clock.run(cell.get())), '20');
  });

  it('gives up after ten attempts when others are always first', async () => {
    const cell = createMemoryCell({ realm });
    let calls = 0;
    const disturbed = apply(cell, async (current) => {
      calls++;
      await cell.cas(current, encodeText(`other ${calls}`));
      return encodeText('mine');
    });
    await assert.rejects(realm.clock.run(disturbed), code('limit_exceeded', 'no'));
    assert.equal(calls, 10);
  });

  it('tries again after a failure that had no effect', async () => {
    const cell = failing(createMemoryCell({ realm }), 3, 'no');
    assert.equal((await realm.clock.run(apply(cell, count))).attempts, 4);
    assert.equal(decodeText(await realm.clock.run(cell.get())), '1');
  });

  it('does not try again after one that may have had an effect', async () => {
    const cell = failing(createMemoryCell({ realm }), 1, 'maybe');
    await assert.rejects(realm.clock.run(apply(cell, count)), code('unreachable', 'maybe'));
    assert.equal(decodeText(await realm.clock.run(cell.get())), '1');
  });

  it('tries again after it when the change may be repeated', async () => {
    const cell = failing(createMemoryCell({ realm }), 2, 'maybe');
    const result = await realm.clock.run(apply(cell, () => encodeText('here I am'), { repeatable: true }));
    assert.equal(decodeText(result.value), 'here I am');
  });

  it('ends at its deadline, its signal, and an error of the change', async () => {
    const stuck: Cell = { ...createMemoryCell({ realm }), realm, maxBytes: 8, get: (options) => createStuck(options) };
    const createStuck = (options?: { readonly timeoutMs?: number | undefined }): Promise<never> =>
      new Promise((_, reject) =>
        realm.clock.setTimer(realm.nowMs() + options!.timeoutMs!, () =>
          reject(new P2PError('timeout', 'path', 'late', { sent: 'no' })),
        ),
      );
    await assert.rejects(realm.clock.run(apply(stuck, count, { timeoutMs: 100 })), code('timeout', 'no'));
    const reason = new Error('enough');
    const cell = createMemoryCell({ realm });
    await assert.rejects(apply(cell, count, { signal: AbortSignal.abort(reason) }), reason);
    const fault = new Error('a fault of the change');
    await assert.rejects(
      apply(cell, () => {
        throw fault;
      }),
      fault,
    );
  });

  it('throws at once for misuse', () => {
    const cell = createMemoryCell({ realm });
    assert.throws(() => apply({} as Cell, count), TypeError);
    assert.throws(() => apply(cell, 'text' as never), TypeError);
    assert.throws(() => apply(cell, count, { maxAttempts: 0 }), RangeError);
    assert.throws(() => apply(cell, count, null as never), TypeError);
  });
});
