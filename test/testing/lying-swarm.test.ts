import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createMemoryRealm, memoryAddr, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { nextTurn } from '../../src/runtime/system-clock.ts';
import { LYING_RULES, lyingSwarm } from '../../src/testing/lying-swarm.ts';
import {
  type SuiteFixture,
  type SuiteRunner,
  askSuite,
  secureSuite,
  swarmSuite,
} from '../../src/testing/suites/index.ts';

type Test = { readonly name: string; readonly body: () => Promise<void> };

/** A runner that only collects, so that a test can look at what fails. */
function collect(fixture: SuiteFixture<SecureAskSwarm<MemoryAddr>>): readonly Test[] {
  const tests: Test[] = [];
  const runner: SuiteRunner = {
    describe: (_, body) => body(),
    it: Object.assign((name: string, body: () => Promise<void>) => tests.push({ name, body }), { skip: () => {} }),
  };
  swarmSuite(runner, 'liar', fixture);
  askSuite(runner, 'liar', fixture);
  secureSuite(runner, 'liar', fixture);
  return tests;
}

function fixture(rule: string | undefined): SuiteFixture<SecureAskSwarm<MemoryAddr>> {
  return {
    features: { manyMessages: 200, manySwarms: 4 },
    make: async (n) => {
      const realm = createMemoryRealm({ clock: 'virtual' });
      const honest = Array.from({ length: n }, (_, i) =>
        realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) }),
      );
      return {
        swarms: rule === undefined ? honest : honest.map((swarm) => lyingSwarm(rule, swarm)),
        run: (promise) => realm.clock.run(promise, { limitMs: 600_000 }),
        unknownAddr: () => memoryAddr(999),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(honest.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

/** Runs `body` while unhandled rejections go to the suites alone: this runner would fail the test for them. */
async function withoutRunnersWatch<T>(body: () => Promise<T>): Promise<T> {
  const watching = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', () => {});
  try {
    const result = await body();
    await new Promise<void>((resolve) => nextTurn(resolve));
    return result;
  } finally {
    process.removeAllListeners('unhandledRejection');
    for (const listener of watching) process.on('unhandledRejection', listener);
  }
}

async function failures(rule: string | undefined, stopAtFirst: boolean): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, body } of collect(fixture(rule))) {
    try {
      await body();
    } catch (error) {
      failed.push(`${name}: ${String(error)}`);
      if (stopAtFirst) break;
    }
  }
  return failed;
}

describe('lyingSwarm', () => {
  it('passes all suites when it tells the truth', async () => {
    assert.deepEqual(await failures(undefined, false), []);
  });

  for (const rule of LYING_RULES) {
    it(`is caught breaking the rule: ${rule}`, async (t) => {
      const failed = await withoutRunnersWatch(() => failures(rule, true));
      assert.ok(failed.length > 0, 'no suite noticed');
      t.diagnostic(failed.join('\n'));
    });
  }

  it('refuses a rule that is not in the contract', () => {
    const realm = createMemoryRealm();
    const honest = realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) });
    for (const rule of ['tell the truth', 'toString', '__proto__'])
      assert.throws(() => lyingSwarm(rule, honest), RangeError);
  });
});

describe('fixture.run', () => {
  it('is how suites wait, where the network does not say', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    let waits = 0;
    const [first] = collect({
      make: async (n) => {
        const swarms = Array.from({ length: n }, (_, i) =>
          realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) }),
        );
        return {
          swarms,
          [Symbol.asyncDispose]: async () => {
            await Promise.all(swarms.map((swarm) => swarm.close()));
          },
        };
      },
      run: (promise) => {
        waits++;
        return realm.clock.run(promise, { limitMs: 60_000 });
      },
    });
    await first!.body();
    assert.ok(waits > 0);
  });
});
