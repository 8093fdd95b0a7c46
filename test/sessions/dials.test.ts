/** Dials that calls share. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { type DialWaiter, DialTable, MAX_DIAL_WAITERS } from '../../src/sessions/dials.ts';

describe('the table of dials', () => {
  function table() {
    const abandoned: string[] = [];
    const dials = new DialTable<string, string, string>(({ handle }) => {
      abandoned.push(handle);
      dials.take(handle);
    });
    const got: string[] = [];
    const waiter =
      (name: string): DialWaiter<string> =>
      (result) =>
        void got.push(`${name} ${typeof result === 'string' ? result : result.code}`);
    return { dials, abandoned, got, waiter };
  }

  it('tells all who wait for a dial, in order, and takes 4096 of them', () => {
    const { dials, got, waiter } = table();
    const dial = dials.add('key', 'target', 'c1');
    assert.deepEqual([dials.get('key'), dials.of('c1'), dials.size], [dial, dial, 1]);
    for (let i = 0; i < MAX_DIAL_WAITERS; i++) dials.join(dial, 'there', i < 2 ? waiter(String(i)) : () => {});
    assert.equal(MAX_DIAL_WAITERS, 4096);
    dials.join(dial, 'there', waiter('late'));
    assert.deepEqual(got, ['late limit_exceeded']);
    dials.settle(dials.take('c1')!, 'session');
    assert.deepEqual(got.slice(1), ['0 session', '1 session']);
    dials.settle(dial, 'again');
    assert.equal(got.length, 3, 'once');
    assert.deepEqual(
      [dials.size, dials.get('key'), dials.of('c1'), dials.take('c1')],
      [0, undefined, undefined, undefined],
    );
  });

  it('is told when the last one gave up, and not of a dial that has ended', () => {
    const { dials, abandoned, got, waiter } = table();
    const dial = dials.add('key', 'target', 'c1');
    const stops = ['a', 'b'].map((name) => dials.join(dial, 'there', waiter(name)));
    stops[0]!();
    stops[0]!();
    assert.deepEqual(abandoned, []);
    stops[1]!();
    assert.deepEqual([abandoned, dials.size], [['c1'], 0]);
    const ended = dials.add('key', 'target', 'c2');
    const stop = dials.join(ended, 'there', waiter('c'));
    dials.take('c2');
    stop();
    assert.deepEqual([abandoned, got], [['c1'], []]);
    dials.join(ended, 'there', waiter('d'), 1);
    dials.join(ended, 'there', waiter('e'), 1);
    assert.deepEqual(got, ['e limit_exceeded']);
  });

  it('keeps the dial of a key that took the place of another, and dials without a key apart', () => {
    const { dials } = table();
    const old = dials.add('key', 'target', 'c1');
    const fresh = dials.add('key', 'target', 'c2');
    dials.add(undefined, 'target', 'c3');
    assert.equal(dials.take('c1'), old);
    assert.equal(dials.get('key'), fresh);
    dials.take('c3');
    assert.deepEqual([dials.get('key'), [...dials.values()]], [fresh, [fresh]]);
    dials.settle(fresh, new P2PError('closed', 'local', 'closed'));
  });
});
