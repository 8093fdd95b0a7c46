import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';

import { LazyTimer } from '../../src/runtime/lazy-timer.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { createVirtualClock } from '../../src/runtime/virtual-clock.ts';
import type { ClockedRealm, Realm, Timer } from '../../src/core/realm.ts';

/** A realm that runs in real time, with a clock whose hand and timers the test moves. */
function mockedTime(): {
  readonly realm: Realm;
  advance(ms: number): void;
  readonly armed: () => number;
  [Symbol.dispose](): void;
} {
  let nowMs = 1000;
  const timers = new Map<object, { readonly atMs: number; readonly fire: () => void; isHolding: boolean }>();
  let all = 0;
  const now = mock.method(performance, 'now', () => nowMs);
  const set = mock.method(globalThis, 'setTimeout', (fire: () => void, ms: number) => {
    const entry = { atMs: nowMs + ms, fire, isHolding: true };
    const handle = { unref: () => void (entry.isHolding = false) };
    timers.set(handle, entry);
    all++;
    return handle;
  });
  const clear = mock.method(globalThis, 'clearTimeout', (handle: object) => void timers.delete(handle));
  return {
    realm: systemRealm,
    advance: (ms) => {
      nowMs += ms;
      for (const [handle, { atMs, fire, isHolding }] of timers) {
        assert.equal(isHolding, false, 'the timer keeps the process running');
        if (atMs > nowMs) continue;
        timers.delete(handle);
        fire();
      }
    },
    armed: () => all,
    [Symbol.dispose]: () => {
      for (const { mock: each } of [now, set, clear]) each.restore();
    },
  };
}

describe('a lazy timer, in system time', () => {
  it('sets one timer for thousands of writes that end in time, and none of them fires', () => {
    using time = mockedTime();
    let fired = 0;
    const timer = new LazyTimer(time.realm, () => fired++);
    for (let i = 0; i < 9999; i++) {
      timer.set(performance.now() + 10_000);
      time.advance(1);
      timer.clear();
    }
    assert.equal(time.armed(), 1);
    time.advance(60_000);
    assert.equal(fired, 0);
    assert.equal(time.armed(), 1, 'nothing is left behind once nothing is waited for');
  });

  it('fires once, at the time that was set last and never before', () => {
    using time = mockedTime();
    const firedAtMs: number[] = [];
    const timer = new LazyTimer(time.realm, () => firedAtMs.push(performance.now()));
    timer.set(2000); // now is 1000
    timer.clear();
    time.advance(500);
    timer.set(2500);
    time.advance(500);
    assert.deepEqual(firedAtMs, []);
    time.advance(499);
    assert.deepEqual(firedAtMs, []);
    time.advance(1);
    assert.deepEqual(firedAtMs, [2500]);
    time.advance(60_000);
    assert.deepEqual(firedAtMs, [2500]);
  });

  it('can be set to an earlier time, and stopped', () => {
    using time = mockedTime();
    let fired = 0;
    const timer = new LazyTimer(time.realm, () => fired++);
    timer.set(9000);
    timer.set(2000);
    time.advance(1000);
    assert.equal(fired, 1);
    timer.set(3000);
    timer.stop();
    time.advance(60_000);
    assert.equal(fired, 1);
  });
});

describe('a lazy timer, in virtual time', () => {
  it('is a timer of the clock that is cancelled when nothing is waited for, so that the clock knows what is awaited', async () => {
    const clock = createVirtualClock();
    const live = new Set<Timer>();
    const realm: ClockedRealm = {
      ...systemRealm,
      nowMs: () => clock.nowMs(),
      clock: {
        nowMs: () => clock.nowMs(),
        setTimer: (atMs, act, options) => {
          assert.notEqual(options?.background, true);
          const timer = clock.setTimer(atMs, act, options);
          live.add(timer);
          return { cancel: () => (live.delete(timer), timer.cancel()) };
        },
      },
    };
    const { promise, resolve } = Promise.withResolvers<number>();
    const timer = new LazyTimer(realm, () => resolve(clock.nowMs()));
    timer.set(100);
    assert.equal(live.size, 1);
    timer.clear();
    assert.equal(live.size, 0);
    timer.set(300);
    assert.equal(await clock.run(promise), 300);
  });
});
