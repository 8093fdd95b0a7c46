/** What the parts of the kit do at their exact bounds. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { AddressCache } from '../../src/swarm-kit/address-cache.ts';
import { AskSlot } from '../../src/swarm-kit/ask-slot.ts';
import { BoundedQueue } from '../../src/swarm-kit/bounded-queue.ts';
import { CLOSE_DEADLINE_MS, CloseLatch } from '../../src/runtime/close-latch.ts';
import { CounterSet } from '../../src/swarm-kit/counter-set.ts';
import { PendingBudget } from '../../src/swarm-kit/pending-budget.ts';
import { TellSlot } from '../../src/swarm-kit/tell-slot.ts';
import { Waits, checkAsk, checkCall } from '../../src/runtime/waits.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../../src/swarms/memory/index.ts';
import { watchedClock } from '../support/watched-clock.ts';

const message = (length = 1) => ({ src: memoryAddr(1), dst: memoryAddr(2), payload: new Uint8Array(length) });

describe('BoundedQueue, at its bounds', () => {
  it('takes exactly its items and bytes, weighs nothing by default, and is as new when cleared', () => {
    const queue = new BoundedQueue<string>({ maxItems: 3, maxBytes: 10 });
    assert.deepEqual(
      [queue.push('a', 4), queue.push('b', 7), queue.push('c', 6), queue.push('d')],
      [true, false, true, true],
    );
    assert.deepEqual([queue.push('e'), queue.length, queue.bytes], [false, 3, 10]);
    assert.equal(queue.shift(), 'a');
    assert.deepEqual([queue.length, queue.bytes], [2, 6]);
    queue.clear();
    assert.deepEqual([queue.length, queue.bytes, queue.shift()], [0, 0, undefined]);
    assert.deepEqual([queue.push('large', 99), queue.push('f')], [true, false]);
    assert.equal(queue.shift(), 'large');
    assert.equal(queue.bytes, 0);
  });

  it('has a least size of one item', () => {
    assert.throws(() => new BoundedQueue({ maxItems: 0 }), RangeError);
    assert.equal(new BoundedQueue({ maxItems: 1 }).push('a'), true);
    assert.throws(() => new BoundedQueue({ maxItems: 1, maxBytes: -1 }), RangeError);
    assert.equal(new BoundedQueue({ maxItems: 1, maxBytes: 0 }).push('a', 5), true);
  });
});

describe('AddressCache, at its bound', () => {
  it('forgets all when one more comes than it keeps, and keeps as many again', () => {
    let made = 0;
    const cache = new AddressCache((host, port) => {
      made++;
      return { text: `${host}:${port}` };
    }, 4);
    const ask = (...ports: readonly number[]): number => {
      for (const port of ports) cache.get('a', port);
      return made;
    };
    assert.equal(ask(1, 2, 3, 4, 1, 2, 3, 4), 4);
    assert.equal(ask(5), 5);
    assert.equal(ask(1, 2, 3), 8, 'they were forgotten');
    assert.equal(ask(5, 1, 2, 3, 5), 8, 'four are kept again');
    assert.equal(ask(6), 9);
    assert.equal(ask(1), 10);
    cache.get('b', 1);
    assert.equal(made, 11, 'another host with the same port');
    assert.equal(cache.get('b', 1).text, 'b:1');
    assert.equal(made, 11);
  });
});

describe('PendingBudget, at its bounds', () => {
  it('is full at its messages or its bytes, and tells of room when it was full before', () => {
    let rooms = 0;
    const budget = new PendingBudget({ maxPendingMessages: 2, maxPendingBytes: 100 });
    budget.onRoom = () => void rooms++;
    budget.take(99);
    assert.equal(budget.full, false);
    budget.give(99);
    assert.equal(rooms, 0, 'it was not full');
    budget.take(100);
    assert.equal(budget.full, true);
    budget.give(100);
    assert.equal(rooms, 1);
    for (const bytes of [50, 60, 10]) budget.take(bytes);
    budget.give(10);
    assert.deepEqual([budget.full, rooms], [true, 1], 'it is still full');
    budget.give(60);
    assert.deepEqual([budget.full, rooms, budget.messages, budget.bytes], [false, 2, 1, 50]);
    for (const wrong of [{ maxPendingMessages: 0 }, { maxPendingBytes: 0 }]) {
      assert.throws(() => new PendingBudget(wrong), RangeError);
    }
    const defaults = new PendingBudget();
    assert.deepEqual([defaults.maxMessages, defaults.maxBytes], [256, 4_194_304]);
  });
});

describe('slots', () => {
  const options = () => ({
    realm: createMemoryRealm({ clock: 'virtual' }),
    counters: new CounterSet('test'),
  });

  it('take one handler at a time; disposing of an old one leaves the new one', () => {
    const tells = new TellSlot<MemoryAddr>(options());
    const asks = new AskSlot<MemoryAddr>(options());
    const handler = (): void => {};
    const first = tells.listen(handler);
    assert.throws(() => tells.listen(handler), /has a handler/);
    first[Symbol.dispose]();
    assert.equal(tells.occupied, false);
    tells.listen(handler);
    first[Symbol.dispose]();
    assert.equal(tells.occupied, true);
    tells.clear();
    assert.deepEqual([tells.occupied, tells.deliver(message())], [false, false]);

    const serve = (): Uint8Array => new Uint8Array(1);
    const one = asks.serve(serve);
    assert.throws(() => asks.serve(serve), /has a handler/);
    one[Symbol.dispose]();
    asks.serve(serve);
    one[Symbol.dispose]();
    assert.equal(asks.occupied, true);
    // @ts-expect-error no function
    assert.throws(() => tells.listen(undefined), TypeError);
    // @ts-expect-error no function
    assert.throws(() => new AskSlot<MemoryAddr>(options()).serve({}), TypeError);
  });

  it('count what they take, and what they refuse by its reason', async () => {
    const { counters, realm } = options();
    const budget = new PendingBudget({ maxPendingMessages: 1 });
    const asks = new AskSlot<MemoryAddr>({ counters, realm, budget });
    asks.handle(message());
    assert.deepEqual([...counters.drops], [['no_handler', 1]]);
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    asks.serve(() => promise);
    const { answer } = asks.handle(message(7));
    assert.deepEqual([budget.messages, budget.bytes], [1, 7]);
    assert.equal((await asks.handle(message(5)).answer).ok, false);
    assert.deepEqual(Object.fromEntries(counters.drops), { no_handler: 1, queue_full: 1 });
    assert.deepEqual([counters.received, counters.receivedBytes], [1, 7]);
    resolve(new Uint8Array(3));
    assert.equal((await answer).ok, true);
    assert.deepEqual([budget.messages, budget.bytes], [0, 0]);
  });
});

describe('Waits and CloseLatch', () => {
  it('leave no timer behind, however a wait ends', async () => {
    const clock = watchedClock();
    const waits = new Waits(createMemoryRealm({ clock }));
    const what = (): string => 'it';
    const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch(() => 'failed');
    await waits.wait({ what, defaultTimeoutMs: 50 }, ({ resolve }) => resolve(1));
    await outcome(waits.wait({ what, defaultTimeoutMs: 50 }, ({ reject }) => reject(new Error('no'))));
    const stop = new AbortController();
    const aborted = outcome(waits.wait({ what, call: { signal: stop.signal }, defaultTimeoutMs: 50 }, () => {}));
    assert.equal(clock.armed, 1);
    stop.abort();
    await aborted;
    assert.deepEqual([clock.armed, waits.size, clock.waits], [0, 0, []]);
    const open = outcome(waits.wait({ what, defaultTimeoutMs: 50 }, () => {}));
    const endless = outcome(waits.wait({ what, call: { timeoutMs: Infinity }, defaultTimeoutMs: 50 }, () => {}));
    assert.equal(clock.armed, 1);
    waits.close();
    await Promise.all([open, endless]);
    assert.deepEqual([clock.armed, waits.size, clock.waits], [0, 0, []]);
  });

  it('a deadline fires at its moment and not before', async () => {
    const clock = watchedClock();
    const waits = new Waits(createMemoryRealm({ clock }));
    let ended = false;
    void waits.wait({ what: () => 'it', defaultTimeoutMs: 50 }, () => {}).catch(() => (ended = true));
    await clock.advance(49);
    assert.equal(ended, false);
    await clock.advance(1);
    assert.equal(ended, true);
  });

  it('checks the options of calls', () => {
    // @ts-expect-error no object
    assert.throws(() => checkCall(5), TypeError);
    assert.throws(() => checkCall({ timeoutMs: -1 }), RangeError);
    assert.throws(() => checkCall({ timeoutMs: Number.NaN }), /timeoutMs/);
    // @ts-expect-error no signal
    assert.throws(() => checkCall({ signal: {} }), TypeError);
    checkCall({ timeoutMs: 0 });
    checkCall({ timeoutMs: Infinity });
    assert.throws(() => checkAsk({ maxResponseBytes: -1 }), RangeError);
    assert.throws(() => checkAsk({ maxResponseBytes: 0.5 }), TypeError);
    assert.throws(() => checkAsk({ timeoutMs: -1 }), RangeError);
    checkAsk({ maxResponseBytes: 0 });
  });

  it('a latch ends at its deadline exactly when releasing hangs, and leaves no timer when it does not', async () => {
    assert.equal(CLOSE_DEADLINE_MS, 1000);
    const clock = watchedClock();
    const realm = createMemoryRealm({ clock });
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = new CloseLatch({ realm, layer: 'test', release: () => promise });
    let closed = false;
    void slow.close().then(() => (closed = true));
    await clock.advance(999);
    assert.equal(closed, false);
    await clock.advance(1);
    assert.equal(closed, true);
    resolve();
    const quick = new CloseLatch({ realm, layer: 'test', release: () => {} });
    quick.fail('cause');
    assert.deepEqual([clock.armed, quick.how], [0, { by: 'failure', cause: 'cause' }]);
    await quick.close();
    assert.equal(quick.how?.by, 'failure', 'the first end counts');
  });
});
