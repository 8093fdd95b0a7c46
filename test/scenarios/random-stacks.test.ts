/**
 * Any order of wrappers that types allow must work: seeded random stacks of up to five layers over a secure memory swarm,
 * each put through the suites for what it can do. A seed names its stack, so a failure repeats.
 */

import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import { type AskSwarm, canAsk } from '../../src/core/ask.ts';
import { type SecureAskSwarm, isSecure } from '../../src/core/secure.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { any, chooseStack, featuresOf, type Layer } from './stacks.ts';

function fixture(stack: readonly Layer[], seed: number, mtu: number): SuiteFixture<Swarm<Addr>> {
  return {
    features: { manyMessages: 300, manySwarms: 3, maxTriedBytes: 30_000, ...featuresOf(stack) },
    make: async (n) => {
      const realm = createMemoryRealm({ clock: 'virtual', seed, mtu });
      const swarms = Array.from({ length: n }, (_, i) => {
        const memory = any(realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) }));
        return stack.reduce((inner, layer) => layer.wrap(inner, i), memory);
      });
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const STACKS = 24;

for (let seed = 1; seed <= STACKS; seed++) {
  const random = createSeededRandom(seed);
  const stack = chooseStack(random);
  const mtu = [1500, 9000, 65_536][Math.floor(random.next() * 3)]!;
  const name = `seed ${seed}: memory of ${mtu} bytes, ${stack.map((layer) => layer.name).join(', ')}`;
  const made = fixture(stack, seed, mtu);
  const probe = await made.make(1);
  const [top] = probe.swarms;
  swarmSuite({ describe, it }, name, made);
  if (canAsk(top!)) askSuite({ describe, it }, name, made as SuiteFixture<AskSwarm<Addr>>);
  if (isSecure(top!)) secureSuite({ describe, it }, name, made as SuiteFixture<SecureAskSwarm<Addr>>);
  await probe[Symbol.asyncDispose]();
}
