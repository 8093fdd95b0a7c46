import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { P2PError, type P2PErrorCode } from '../../src/core/errors.ts';
import { type RetryOptions, constantBackoff, exponentialBackoff, retry } from '../../src/runtime/retry.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';

const failure = (sent: 'no' | 'maybe', code: P2PErrorCode = 'unreachable') =>
  new P2PError(code, 'path', 'no', { sent });

/** Runs `retry` over an operation that fails `failures` times, and tells when it was called. */
async function attempt(failures: number, error: unknown, options: RetryOptions = {}, seed = 1) {
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const calls: number[] = [];
  const outcome = realm.clock.run(
    retry(
      () => {
        calls.push(realm.nowMs());
        if (calls.length <= failures) throw error;
        return 'done';
      },
      { realm, ...options },
    ).catch((thrown: unknown) => thrown),
  );
  return { outcome: await outcome, calls };
}

describe('exponentialBackoff', () => {
  it('is the reference’s: 100 ms, doubling every 2 retries, at most 30 s', () => {
    const backoff = exponentialBackoff();
    assert.deepEqual([0, 2, 4, 16, 18, 100].map(backoff), [100, 200, 400, 25_600, 30_000, 30_000]);
    assert.ok(Math.abs(backoff(1) - 141.42) < 0.01);
  });
});

describe('retry', () => {
  it('repeats what surely was not sent, with back-off', async () => {
    const { outcome, calls } = await attempt(3, failure('no'), { jitter: 0 });
    assert.equal(outcome, 'done');
    assert.deepEqual(calls.map(Math.round), [0, 100, 241, 441]);
  });

  it('does not repeat what may have been sent, what is final, or what it does not know, unless told', async () => {
    for (const error of [failure('maybe'), failure('no', 'closed'), failure('no', 'mtu_exceeded'), new Error('mine')]) {
      const { outcome, calls } = await attempt(3, error);
      assert.deepEqual([outcome, calls.length], [error, 1]);
    }
    const told = await attempt(3, failure('maybe'), { shouldRetry: () => true });
    assert.deepEqual([told.outcome, told.calls.length], ['done', 4]);
  });

  it('draws jitter anew each time, from the realm: another seed, other pauses; the same seed, the same', async () => {
    const pauses = ({ calls }: { calls: number[] }): number[] => calls.slice(1).map((at, i) => at - calls[i]!);
    const backoff = () => 100;
    const [first, same, other] = [1, 1, 2].map((seed) => attempt(6, failure('no'), { backoff }, seed));
    assert.deepEqual(pauses(await first!), pauses(await same!));
    assert.notDeepEqual(pauses(await first!), pauses(await other!));
    const drawn = pauses(await first!);
    assert.equal(new Set(drawn).size, 6);
    for (const pause of drawn) assert.ok(pause > 75 && pause <= 100, String(pause));
  });

  it('gives up after maxAttempts calls or timeoutMs, with the last error', async () => {
    const error = failure('no');
    const few = await attempt(9, error, { maxAttempts: 3 });
    assert.deepEqual([few.outcome, few.calls.length], [error, 3]);
    const short = await attempt(99, error, { timeoutMs: 1000, jitter: 0 });
    assert.equal(short.outcome, error);
    assert.ok(short.calls.at(-1)! <= 1000);
  });

  it('an abort ends the pause with its reason', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const controller = new AbortController();
    const reason = new Error('given up');
    realm.clock.setTimer(50, () => controller.abort(reason));
    const retried = retry(() => Promise.reject(failure('no')), { realm, signal: controller.signal });
    await assert.rejects(realm.clock.run(retried), (error) => error === reason);
    assert.equal(realm.nowMs(), 50);
  });

  it('throws at once for wrong options, and calls nothing', () => {
    let calls = 0;
    const retrying = (options: unknown) => () => void retry(() => calls++, options as RetryOptions);
    for (const wrong of [{ jitter: 2 }, { maxAttempts: 0 }, { timeoutMs: -1 }])
      assert.throws(retrying(wrong), RangeError);
    for (const wrong of [
      { backoff: 5 },
      { shouldRetry: true },
      { signal: {} },
      { realm: {} },
      { maxAttempts: '3' },
      null,
    ]) {
      assert.throws(retrying(wrong), TypeError);
    }
    // @ts-expect-error not a function
    assert.throws(() => void retry(7), TypeError);
    assert.equal(calls, 0);
  });
});

describe('constantBackoff', () => {
  it('is the same at each retry, and refuses a negative pause', () => {
    assert.deepEqual([0, 9].map(constantBackoff(7)), [7, 7]);
    assert.throws(() => constantBackoff(-1), RangeError);
  });
});
