import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Holder, StreamBudget } from '../../src/endpoint/stream-budget.ts';

const SLACK = 4 * 2 ** 20;

/** A holder that counts how often it was told to go on. */
function holder(): Holder & { readonly resumed: number } {
  let resumed = 0;
  return {
    get resumed() {
      return resumed;
    },
    resume: () => void resumed++,
  };
}

describe('a budget of bytes that many unfinished messages fill', () => {
  it('admits everybody below its limit, and at its limit the oldest only', () => {
    const budget = new StreamBudget(1000);
    const [first, second] = [holder(), holder()];
    for (const each of [first, second]) budget.enter(each);
    budget.change(999);
    assert.deepEqual([budget.admits(first), budget.admits(second)], [true, true]);
    budget.change(1);
    assert.deepEqual([budget.admits(first), budget.admits(second)], [true, false]);
    assert.equal(budget.bytes, 1000);
  });

  it('at its limit admits nobody while whole messages wait to be taken, each of which takes 512 bytes', () => {
    const budget = new StreamBudget(1000);
    const first = holder();
    budget.enter(first);
    budget.change(487, 1);
    assert.equal(budget.admits(first), true);
    budget.change(1);
    assert.equal(budget.admits(first), false);
    assert.equal(budget.bytes, 488);
  });

  it('has those who wait go on once, when there is room or when they are the oldest', () => {
    const budget = new StreamBudget(1000);
    const [first, second, third] = [holder(), holder(), holder()];
    for (const each of [first, second, third]) budget.enter(each);
    budget.change(1100);
    assert.deepEqual([budget.admits(second), budget.admits(third)], [false, false]);
    budget.change(-100);
    assert.equal(second.resumed, 0, 'it is still full');
    budget.leave(third);
    assert.equal(second.resumed, 0, 'another one has left');
    budget.leave(first);
    assert.deepEqual([second.resumed, third.resumed, budget.admits(second)], [1, 0, true]);
    budget.enter(third);
    assert.equal(budget.admits(third), false);
    budget.change(-1);
    assert.deepEqual([second.resumed, third.resumed], [1, 1]);
    budget.change(-1);
    assert.deepEqual([second.resumed, third.resumed], [1, 1]);
    assert.equal(first.resumed, 0);
  });

  it('resumes the oldest, and no other, when the last message is taken and unfinished ones are still more than the budget', () => {
    const budget = new StreamBudget(1000);
    const [oldest, other] = [holder(), holder()];
    budget.enter(oldest);
    budget.enter(other);
    budget.change(2000, 2);
    assert.deepEqual([budget.admits(oldest), budget.admits(other)], [false, false]);
    budget.change(-500, -1);
    assert.equal(oldest.resumed, 0, 'one more message waits to be taken');
    budget.change(-500, -1);
    assert.deepEqual([oldest.resumed, other.resumed, budget.admits(oldest)], [1, 0, true]);
  });

  it('is exhausted 4 MiB beyond its limit', () => {
    const budget = new StreamBudget(1000);
    budget.change(1000 + SLACK - 1);
    assert.equal(budget.exhausted, false);
    budget.change(1);
    assert.equal(budget.exhausted, true);
  });

  it('of which this is a part counts what the parts hold, and lets each part have 8 KiB when it is exhausted', () => {
    const whole = new StreamBudget(1000);
    const [one, other] = [new StreamBudget(1e9, whole), new StreamBudget(1e9, whole)];
    const [first, second] = [holder(), holder()];
    one.enter(first);
    other.enter(second);
    one.change(1000 + SLACK);
    assert.deepEqual([whole.bytes, one.admits(first), other.admits(second)], [1000 + SLACK, true, false]);
    assert.deepEqual([one.exhausted, other.exhausted], [true, false]);
    other.change(8191);
    assert.equal(other.exhausted, false);
    other.change(1);
    assert.equal(other.exhausted, true);
    one.leave(first);
    assert.equal(second.resumed, 1, 'the oldest of all');
    assert.equal(other.admits(second), true);
    one.change(-1000 - SLACK);
    other.change(0, 1);
    other.change(-8192, -1);
    assert.equal(whole.bytes, 0);
  });
});
