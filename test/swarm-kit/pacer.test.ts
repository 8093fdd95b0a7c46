import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Pacer } from '../../src/swarm-kit/pacer.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { watchedClock } from '../support/watched-clock.ts';

function paced(burstBytes: number) {
  const clock = watchedClock();
  const realm = createMemoryRealm({ clock });
  const pacer = new Pacer({ realm, burstBytes, pauseMs: 10 });
  const went: string[] = [];
  const ask = (name: string, bytes: number): void => {
    const turn = pacer.turn(bytes);
    if (turn === undefined) went.push(`${name} ${clock.nowMs()}`);
    else
      turn.then(
        () => went.push(`${name} ${clock.nowMs()}`),
        (error: unknown) => went.push(`${name} ${String(error)}`),
      );
  };
  return { clock, pacer, went, ask };
}

describe('Pacer', () => {
  it('lets a burst go, and after each pause the next, in order of asking', async () => {
    const { clock, went, ask } = paced(100);
    ask('a', 99);
    ask('b', 50); // begins below the burst
    ask('c', 1);
    ask('d', 99);
    ask('e', 1);
    ask('f', 1);
    assert.deepEqual([went, clock.armed], [['a 0', 'b 0'], 1]);
    await clock.advance(9);
    assert.equal(went.length, 2);
    await clock.advance(1);
    assert.deepEqual(went.slice(2), ['c 10', 'd 10']);
    ask('g', 1); // behind those who wait
    await clock.advance(10);
    assert.deepEqual(went.slice(4), ['e 20', 'f 20', 'g 20']);
    await clock.advance(10);
    assert.equal(clock.armed, 0);
    ask('h', 100);
    assert.equal(went.at(-1), 'h 30');
    ask('i', 1);
    await clock.advance(10);
    assert.deepEqual([went.at(-1), clock.armed], ['i 40', 0]);
  });

  it('has no pauses where the burst is unbounded', () => {
    const { went, ask, clock } = paced(Infinity);
    for (let i = 0; i < 5; i++) ask('a', 1e9);
    assert.deepEqual([went.length, clock.armed], [5, 0]);
  });

  it('fails those who wait when it is closed, and arms nothing', async () => {
    const { clock, pacer, went, ask } = paced(10);
    for (const name of ['a', 'b', 'c']) ask(name, 10);
    pacer.close('closed');
    await clock.advance(100);
    assert.deepEqual([went, clock.armed], [['a 0', 'b closed', 'c closed'], 0]);
  });
});
