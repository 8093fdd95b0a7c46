import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Outbox } from '../../src/base/outbox.ts';

describe('Outbox', () => {
  const outbox = (): Outbox<string, string, 'a' | 'b'> => new Outbox();

  it('gives outputs in order, then waits for the earliest timer', () => {
    const box = outbox();
    box.transmit('first');
    box.event('second');
    box.arm('a', 20);
    box.arm('b', 10);
    assert.deepEqual(box.poll(), { type: 'transmit', transmit: 'first' });
    assert.deepEqual(box.poll(), { type: 'event', event: 'second' });
    assert.deepEqual(box.poll(), { type: 'wait', until: 10 });
    assert.equal(box.poll(), box.poll(), 'the same value while nothing changes');
  });

  it('a timer set to Infinity is off, and so is one that was disarmed', () => {
    const box = outbox();
    box.arm('a', 10);
    box.arm('a', Infinity);
    assert.equal(box.isArmed('a'), false);
    assert.deepEqual(box.takeDue(Number.MAX_SAFE_INTEGER), []);
    box.arm('b', 10);
    box.disarm('b');
    assert.deepEqual(box.poll(), { type: 'wait', until: undefined });
  });

  it('takes what is due at the very instant, once, in the order of arming', () => {
    const box = outbox();
    box.arm('b', 10);
    box.arm('a', 10);
    assert.deepEqual(box.takeDue(9), []);
    assert.deepEqual(box.takeDue(10), ['b', 'a']);
    assert.deepEqual(box.takeDue(10), []);
    assert.equal(box.isArmed('a'), false);
  });

  it('clear forgets outputs and timers', () => {
    const box = outbox();
    box.transmit('first');
    box.arm('a', 1);
    box.clear();
    assert.deepEqual(box.poll(), { type: 'wait', until: undefined });
  });
});
