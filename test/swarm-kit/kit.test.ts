import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { P2PError } from '../../src/core/errors.ts';
import { AddressCache } from '../../src/swarm-kit/address-cache.ts';
import { BoundedQueue } from '../../src/swarm-kit/bounded-queue.ts';
import { CLOSE_DEADLINE_MS, CloseLatch } from '../../src/runtime/close-latch.ts';
import { composeAsk } from '../../src/swarm-kit/compose.ts';
import { Pacer } from '../../src/swarm-kit/pacer.ts';
import { PendingBudget } from '../../src/swarm-kit/pending-budget.ts';
import { Waits } from '../../src/runtime/waits.ts';
import { canAsk } from '../../src/core/ask.ts';
import { inspect } from '../../src/core/inspect.ts';
import { createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { watchedClock } from '../support/watched-clock.ts';

describe('Waits', () => {
  const what = (): string => 'wait for it';

  it('ends by result, error, deadline, signal or close, undoing once each time and leaving no listener', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const waits = new Waits(realm);
    const { signal } = new AbortController();
    const controller = new AbortController();
    let undone = 0;
    const begin = (end?: (wait: { resolve: (value: number) => void; reject: (error: unknown) => void }) => void) =>
      waits.wait<number>({ what, call: { signal: controller.signal, timeoutMs: 50 }, defaultTimeoutMs: 1 }, (wait) => {
        end?.(wait);
        return () => undone++;
      });
    assert.equal(await begin(({ resolve }) => resolve(7)), 7);
    await assert.rejects(
      begin(({ reject }) => reject(new Error('mine'))),
      /mine/,
    );
    await assert.rejects(
      begin(() => {
        throw new Error('thrown');
      }),
      /thrown/,
    );
    await assert.rejects(
      realm.clock.run(begin()),
      (error) =>
        P2PError.is(error, 'timeout') && error.message.includes('wait for it') && error.message.includes('50 ms'),
    );
    const aborted = begin();
    controller.abort(new Error('given up'));
    await assert.rejects(aborted, /given up/);
    await assert.rejects(begin(), /given up/);
    const open = waits.wait<void>({ what, call: { signal }, defaultTimeoutMs: Infinity }, () => () => undone++);
    assert.deepEqual(realm.clock.waits, ['wait for it']);
    waits.close();
    await assert.rejects(open, (error) => P2PError.is(error, 'closed'));
    await assert.rejects(
      waits.wait({ what, defaultTimeoutMs: 1 }, () => {}),
      (error) => P2PError.is(error, 'closed'),
    );
    assert.equal(undone, 5);
    assert.equal(waits.size, 0);
    assert.deepEqual(realm.clock.waits, []);
    assert.equal(getEventListeners(signal, 'abort').length + getEventListeners(controller.signal, 'abort').length, 0);
  });

  it('reads the options of a call once: a caller that changes them afterwards leaves no listener behind', async () => {
    const waits = new Waits(createMemoryRealm({ clock: 'virtual' }));
    const { signal } = new AbortController();
    const call: { signal?: AbortSignal } = { signal };
    const result = waits.wait<number>({ what: () => 'work', call, defaultTimeoutMs: Infinity }, (wait) => {
      queueMicrotask(() => wait.resolve(1));
    });
    call.signal = new AbortController().signal;
    assert.equal(await result, 1);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });
});

describe('timers of the kit', () => {
  it('of waits that have ended, however they ended, are cancelled', async () => {
    const clock = watchedClock();
    const waits = new Waits(createMemoryRealm({ clock }));
    const begun = ['resolve', 'reject', 'abort', 'throw', 'close'].map((end) => {
      const stop = new AbortController();
      const call = { timeoutMs: 1000, signal: stop.signal };
      const wait = waits.wait<void>({ what: () => end, call, defaultTimeoutMs: 5 }, ({ resolve, reject }) => {
        if (end === 'throw') throw new Error('thrown');
        if (end === 'resolve') clock.setTimer(10, () => resolve());
        else if (end === 'reject') clock.setTimer(10, () => reject(new Error('no')));
        else if (end === 'abort') clock.setTimer(10, () => stop.abort());
      });
      return wait.catch(() => undefined);
    });
    await clock.advance(10);
    assert.deepEqual([clock.armed, waits.size], [1, 1]);
    waits.close();
    await Promise.all(begun);
    assert.deepEqual([clock.armed, waits.size, clock.waits], [0, 0, []]);
  });

  it('of a pacer: those who wait go in order after the pause, and closing fails them and cancels it', async () => {
    const clock = watchedClock();
    const pacer = new Pacer({ realm: createMemoryRealm({ clock }), burstBytes: 100, pauseMs: 10 });
    const ends: string[] = [];
    const turn = (name: string, bytes: number): void => {
      const waits = pacer.turn(bytes);
      if (waits === undefined) ends.push(name);
      else
        waits.then(
          () => ends.push(name),
          (error: Error) => ends.push(`${name}: ${error.message}`),
        );
    };
    for (const name of ['a', 'b', 'c', 'd', 'e']) turn(name, 50);
    assert.deepEqual([ends, clock.armed], [['a', 'b'], 1]);
    await clock.advance(9);
    assert.equal(ends.length, 2);
    await clock.advance(1);
    assert.deepEqual([ends, clock.armed], [['a', 'b', 'c', 'd'], 1]);
    pacer.close(new Error('closed'));
    await clock.advance(0);
    assert.deepEqual([ends.at(-1), clock.armed], ['e: closed', 0]);
  });
});

describe('PendingBudget', () => {
  it('is full with exactly maxPendingBytes or maxPendingMessages, and tells once when there is room', () => {
    for (const [bytes, messages] of [
      [25, 4],
      [1, 10],
    ] as const) {
      const budget = new PendingBudget({ maxPendingBytes: 100, maxPendingMessages: 10 });
      let rooms = 0;
      budget.onRoom = () => void rooms++;
      for (let i = 0; i < messages; i++) {
        assert.equal(budget.full, false);
        budget.take(bytes);
      }
      assert.equal(budget.full, true);
      for (let i = 0; i < messages; i++) budget.give(bytes);
      assert.deepEqual([rooms, budget.messages, budget.bytes], [1, 0, 0]);
    }
  });
});

describe('CloseLatch', () => {
  it('releases once, and tells how it ended', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    let released = 0;
    const latch = new CloseLatch({ realm, layer: 'test', release: () => void released++ });
    assert.equal(latch.isClosed, false);
    latch.fail(new Error('broken below'));
    await Promise.all([latch.close(), latch.close()]);
    assert.equal(released, 1);
    const how = await latch.closed;
    assert.deepEqual([how.by, String(how.cause)], ['failure', 'Error: broken below']);
    assert.equal(latch.error('tell').code, 'closed');
  });

  it('ends within its deadline when releasing hangs, and survives a release that throws', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const hanging = new CloseLatch({ realm, layer: 'test', release: () => new Promise(() => {}) });
    await realm.clock.run(hanging.close());
    assert.equal(realm.nowMs(), CLOSE_DEADLINE_MS);
    const throwing = new CloseLatch({
      realm,
      layer: 'test',
      release: () => {
        throw new Error('broken');
      },
    });
    await throwing.close();
  });
});

describe('BoundedQueue', () => {
  it('has no bound that is none', () => {
    // @ts-expect-error maxItems is missing
    assert.throws(() => new BoundedQueue({}), TypeError);
    assert.throws(() => new BoundedQueue({ maxItems: 0 }), RangeError);
    assert.throws(() => new BoundedQueue({ maxItems: 1, maxBytes: -1 }), RangeError);
  });

  it('behaves as an array that refuses', () => {
    const operation = fc.oneof(
      { weight: 6, arbitrary: fc.record({ push: fc.nat(30) }) },
      { weight: 4, arbitrary: fc.constant('shift' as const) },
      { weight: 1, arbitrary: fc.constant('clear' as const) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const queue = new BoundedQueue<number>({ maxItems: 5, maxBytes: 60 });
        const model: number[] = [];
        for (const op of operations) {
          if (op === 'shift') assert.equal(queue.shift(), model.shift());
          else if (op === 'clear') {
            queue.clear();
            model.length = 0;
          } else {
            const bytes = model.reduce((sum, each) => sum + each, 0);
            const fits = model.length < 5 && (model.length === 0 || bytes + op.push <= 60);
            assert.equal(queue.push(op.push, op.push), fits);
            if (fits) model.push(op.push);
          }
          assert.deepEqual([queue.length, queue.bytes], [model.length, model.reduce((sum, each) => sum + each, 0)]);
        }
      }),
    );
  });
});

describe('AddressCache', () => {
  it('gives the same object for the same source, and forgets all when full', () => {
    let made = 0;
    const cache = new AddressCache((_, port) => {
      made++;
      return memoryAddr(port);
    }, 3);
    const first = cache.get('a', 1);
    assert.equal(cache.get('a', 1), first);
    cache.get('a', 2);
    cache.get('b', 1);
    assert.equal(made, 3);
    cache.get('c', 1);
    assert.notEqual(cache.get('a', 1), first);
  });
});

describe('composeAsk', () => {
  it('glues asks to a swarm without changing either', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const swarm = realm.swarm();
    const { ask, serve, maxRequestBytes } = {
      ask: () => Promise.resolve(Uint8Array.of(1)),
      serve: () => ({ [Symbol.dispose]: () => {} }),
      maxRequestBytes: () => 5,
    };
    const whole = composeAsk(swarm, { ask, serve, maxRequestBytes });
    assert.ok(canAsk(whole));
    assert.deepEqual(await whole.ask(memoryAddr(1), Uint8Array.of()), Uint8Array.of(1));
    assert.equal(swarm.maxRequestBytes(memoryAddr(1)), 65_536);
    assert.equal(inspect(whole).layer, 'memory');
    await whole.close();
    assert.equal(swarm.localAddrs().length, 0);
  });
});
