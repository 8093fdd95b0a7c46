import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simulate } from '../../src/testing/index.ts';

describe('a simulation', () => {
  it('ends where a check or a closing node does not', async () => {
    const never = (): Promise<void> => new Promise(() => undefined);
    const { failure, virtualMs } = await simulate({
      nodes: 2,
      durationMs: 1000,
      open: ({ realm }) => {
        const again = (): void => void realm.clock.setTimer(realm.nowMs() + 1000, again);
        again();
        return { close: never };
      },
      check: never,
    });
    assert.equal(failure!.phase, 'check');
    assert.match(failure!.message, /Virtual time ran to \d+ ms and the promise is still pending/);
    assert.ok(virtualMs <= 700_000, `${virtualMs}`);
  });
});
