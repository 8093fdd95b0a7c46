import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pair } from './pair.ts';

describe('the path of a session', () => {
  it('one that the other side has given up is not used, although it would be better', () => {
    const pair = new Pair();
    const first = pair.open({ rank: 2 });
    pair.run(2000);
    // Nothing ever comes on it.
    const second = pair.open({ rank: 1, lossShare: 1 });
    pair.run(1500);
    assert.equal(pair.alice.session.paths.current?.id, first);
    pair.run(6000);
    assert.deepEqual(pair.alice.of('path_dead'), [{ type: 'path_dead', path: second }]);
  });

  it('of one class the one that is clearly faster is used; of another class the better class, however slow', () => {
    const pair = new Pair();
    pair.open({ rank: 0, delayMs: 40 });
    const faster = pair.open({ rank: 1, delayMs: 10 });
    pair.run(500);
    assert.equal(pair.alice.session.paths.current?.id, faster);
    const other = new Pair();
    const near = other.open({ rank: 1000, delayMs: 100 });
    other.open({ rank: 3000, delayMs: 5 });
    other.run(900);
    assert.equal(other.alice.session.paths.current?.id, near);
  });

  it('one that is about as fast takes no place, so that two paths do not take turns', () => {
    const pair = new Pair();
    const first = pair.open({ rank: 0, delayMs: 12, jitterMs: 4 });
    pair.open({ rank: 1, delayMs: 11, jitterMs: 4 });
    pair.run(900);
    assert.equal(pair.alice.session.paths.current?.id, first);
    assert.equal(pair.alice.of('path').length, 1);
  });
});
