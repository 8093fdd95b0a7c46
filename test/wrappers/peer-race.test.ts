/** What is left when a race between addresses is over, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError } from '../../src/core/errors.ts';
import { createMemoryRealm, type MemoryAddr, memoryAddr } from '../../src/swarms/memory/index.ts';
import { raceCandidates } from '../../src/wrappers/peer-race.ts';
import { watchedClock } from '../support/watched-clock.ts';

describe('a race between addresses', () => {
  const clock = watchedClock();
  const realm = createMemoryRealm({ clock });
  const limits = { staggerMs: 100, maxParallel: 2, maxCandidates: 4 };

  /** @param works - how an attempt at each address ends; those that are not named wait for the signal. */
  function race(works: Readonly<Record<number, boolean>>) {
    const tried: number[] = [];
    const signals: AbortSignal[] = [];
    const errors: unknown[] = [];
    const run = raceCandidates<MemoryAddr>({
      realm,
      what: 'somebody',
      first: [],
      parse: (addr) => (typeof addr === 'string' ? undefined : addr),
      source: () => Array.from({ length: 10 }, (_, i) => memoryAddr(i)),
      check: () => undefined,
      attempt: (addr, signal) => {
        tried.push(addr.n);
        signals.push(signal);
        if (works[addr.n] === true) return Promise.resolve();
        if (works[addr.n] === false) return Promise.reject(new Error('no'));
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
      limits,
      errors,
      signal: new AbortController().signal,
    });
    return { run, tried, signals, errors };
  }

  it('gives the losers up when one has won, and leaves no timer', async () => {
    const { run, tried, signals } = race({ 1: true });
    assert.equal((await clock.run(run)).n, 1);
    await clock.advance(0);
    assert.deepEqual([tried, signals.every(({ aborted }) => aborted), clock.armed], [[0, 1], true, 0]);
  });

  it('has two attempts at a time, and tries four addresses', async () => {
    const waiting = race({});
    void waiting.run.catch(() => undefined);
    await clock.advance(10_000);
    assert.deepEqual([waiting.tried, clock.armed], [[0, 1], 0]);
    const failing = race({ 0: false, 1: false, 2: false, 3: false });
    await assert.rejects(clock.run(failing.run), (error) => P2PError.is(error, 'unreachable'));
    assert.deepEqual([failing.tried, failing.errors.length, clock.armed], [[0, 1, 2, 3], 4, 0]);
  });
});
