import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { TimerQueue } from '../../src/runtime/timer-queue.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { createVirtualClock } from '../../src/runtime/virtual-clock.ts';

describe('createVirtualClock', () => {
  it('fires timers at their instants, in order of arming within one', async () => {
    const clock = createVirtualClock();
    const fired: string[] = [];
    const at = (ms: number, name: string): void =>
      void clock.setTimer(ms, () => fired.push(`${name}@${clock.nowMs()}`));
    at(20, 'c');
    at(10, 'a');
    at(10, 'b');
    await clock.advance(15);
    assert.deepEqual(fired, ['a@10', 'b@10']);
    assert.equal(clock.nowMs(), 15);
    await clock.advance(5);
    assert.deepEqual(fired, ['a@10', 'b@10', 'c@20']);
  });

  it('lets promises settle before the next instant, and looks again at the same one', async () => {
    const clock = createVirtualClock();
    const seen: number[] = [];
    clock.setTimer(10, () => {
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => clock.setTimer(10, () => seen.push(clock.nowMs())));
    });
    clock.setTimer(11, () => seen.push(clock.nowMs()));
    await clock.advance(20);
    assert.deepEqual(seen, [10, 11]);
  });

  it('never fires inside setTimer, never fires what is cancelled, and takes past instants as now', async () => {
    const clock = createVirtualClock({ startMs: 100 });
    let fired = 0;
    clock.setTimer(0, () => fired++);
    assert.equal(fired, 0);
    clock.setTimer(105, () => fired++).cancel();
    await clock.advance(10);
    assert.equal(fired, 1);
  });

  it('run moves time until the promise settles, and no further', async () => {
    const clock = createVirtualClock();
    clock.setTimer(99_999, () => {});
    const value = await clock.run(new Promise((resolve) => void clock.setTimer(5000, () => resolve('done'))));
    assert.deepEqual([value, clock.nowMs()], ['done', 5000]);
    await assert.rejects(clock.run(Promise.reject(new Error('mine'))), /mine/);
  });

  it('run rejects when nothing is armed, and names what is waited for', async () => {
    const clock = createVirtualClock();
    const done = clock.noteWait!(() => 'ask 3 from 5');
    assert.deepEqual(clock.waits, ['ask 3 from 5']);
    await assert.rejects(clock.run(new Promise(() => {})), /Nothing is armed at 0 ms.*ask 3 from 5/);
    done();
    await assert.rejects(clock.run(new Promise(() => {})), /no wait is named/);
  });

  it('run does not take housekeeping for something that could settle a promise, and has a limit', async () => {
    const clock = createVirtualClock();
    const tick = (): void => void clock.setTimer(clock.nowMs() + 1000, tick, { background: true });
    tick();
    await assert.rejects(clock.run(new Promise(() => {})), /Nothing is armed/);
    const busy = (): void => void clock.setTimer(clock.nowMs() + 1000, busy);
    busy();
    await assert.rejects(clock.run(new Promise(() => {}), { limitMs: 10_000 }), /ran to 10000 ms/);
    assert.equal(clock.nowMs(), 10_000);
  });

  it('run takes a wait of years for no hang, and a timer that is armed again and again for one', async () => {
    const clock = createVirtualClock();
    const years = 10 * 365 * 86_400_000;
    await clock.run(new Promise<void>((resolve) => void clock.setTimer(years, resolve)));
    assert.equal(clock.nowMs(), years);
    const busy = (): void => void clock.setTimer(clock.nowMs() + 1000, busy);
    busy();
    await assert.rejects(clock.run(new Promise(() => {})), /and the promise is still pending/);
    assert.equal(clock.nowMs(), years + 2 * 86_400_000);
    const never = createVirtualClock();
    never.setTimer(Infinity, () => {});
    await assert.rejects(never.run(new Promise(() => {})), /still pending/);
  });

  it('advance fires housekeeping too', async () => {
    const clock = createVirtualClock();
    let ticks = 0;
    const tick = (): void => {
      ticks++;
      clock.setTimer(clock.nowMs() + 10, tick, { background: true });
    };
    clock.setTimer(10, tick, { background: true });
    await clock.advance(100);
    assert.equal(ticks, 10);
  });

  it('several advances and runs at once each end where they should', async () => {
    const clock = createVirtualClock();
    const ends: string[] = [];
    await Promise.all([
      clock.advance(30).then(() => ends.push(`advance@${clock.nowMs()}`)),
      clock
        .run(new Promise<void>((resolve) => void clock.setTimer(10, resolve)))
        .then(() => ends.push(`run@${clock.nowMs()}`)),
      clock.advance(5).then(() => ends.push(`short@${clock.nowMs()}`)),
    ]);
    assert.deepEqual(ends, ['short@5', 'run@10', 'advance@30']);
  });

  it('hold stops time during real I/O', async () => {
    const clock = createVirtualClock();
    const order: string[] = [];
    clock.setTimer(1, () => order.push('timer'));
    const read = clock.hold(readFile(new URL(import.meta.url))).then(() => order.push('file'));
    await clock.run(Promise.all([read, new Promise<void>((resolve) => void clock.setTimer(2, resolve))]));
    assert.deepEqual(order, ['file', 'timer']);
  });

  it('a timer that throws ends the advance with its error, and the clock stays usable', async () => {
    const clock = createVirtualClock();
    clock.setTimer(1, () => {
      throw new Error('broken timer');
    });
    await assert.rejects(clock.advance(5), /broken timer/);
    await clock.advance(5);
  });

  it('checks what it is given, as the system clock does', () => {
    const clock = createVirtualClock();
    for (const each of [clock, systemRealm.clock]) {
      assert.throws(() => each.setTimer(Number.NaN, () => {}), TypeError);
      // @ts-expect-error not a function
      assert.throws(() => each.setTimer(1, 'x'), TypeError);
    }
    // @ts-expect-error not a promise
    assert.throws(() => void clock.run(5), TypeError);
    assert.throws(() => clock.advance(-1), RangeError);
    assert.throws(() => createVirtualClock({ startMs: -1 }), RangeError);
  });
});

describe('TimerQueue', () => {
  it('behaves as a sorted list would, whatever is armed and disarmed', () => {
    const operation = fc.oneof(
      fc.record({ arm: fc.integer({ min: 0, max: 20 }) }),
      fc.record({ disarm: fc.nat(50) }),
      fc.record({ take: fc.integer({ min: 0, max: 25 }) }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const queue = new TimerQueue();
        const model: { at: number; order: number; entry: ReturnType<TimerQueue['arm']> }[] = [];
        for (const op of operations) {
          if ('arm' in op) model.push({ at: op.arm, order: queue.armed, entry: queue.arm(op.arm, () => {}, false) });
          else if ('disarm' in op) model.splice(op.disarm, 1).forEach(({ entry }) => entry.cancel());
          else {
            model.sort((a, b) => a.at - b.at || a.order - b.order);
            const expected = model[0] !== undefined && model[0].at <= op.take ? model.shift() : undefined;
            assert.equal(queue.takeDue(op.take, Infinity), expected?.entry);
          }
          assert.equal(queue.nextAtMs(), model.length === 0 ? undefined : Math.min(...model.map(({ at }) => at)));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('does not keep what was armed far ahead and disarmed', () => {
    const queue = new TimerQueue();
    queue.arm(1_000_000, () => {}, false);
    for (let i = 0; i < 100_000; i++) queue.arm(1_000_000, () => {}, false).cancel();
    const before = queue.armed;
    assert.equal(queue.takeDue(1_000_000, before)?.order, 0);
    assert.equal(queue.takeDue(1_000_000, before), undefined);
  });
});
