/** Random stacks of wrappers over the TCP swarm, in a network in memory and virtual time: each must pass the suites. */

import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import { type AskSwarm, canAsk } from '../../src/core/ask.ts';
import { type SecureAskSwarm, isSecure } from '../../src/core/secure.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { flatNetwork } from '../support/flat-network.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { any, chooseStack, featuresOf, type Layer } from './stacks.ts';

function fixture(stack: readonly Layer[], seed: number): SuiteFixture<Swarm<Addr>> {
  return {
    features: {
      manyMessages: 300,
      manySwarms: 3,
      maxTriedBytes: 30_000,
      settleMs: 4000,
      ...featuresOf(stack, { flowControlled: true }),
    },
    make: async (n) => {
      const realm = createMemoryRealm({ clock: 'virtual', seed });
      const network = flatNetwork({ realm, seed, latencyMs: seed % 3 === 0 ? 20 : 0 });
      const open = (_: unknown, i: number): Promise<TcpSwarm> => {
        const ip = `10.0.0.${i + 1}`;
        const common = { security: 'noise', realm, network: network.host(ip), bind: `${ip}:4000` } as const;
        return openTcpSwarm({ privateKey: testKey(i), ...common });
      };
      const bottoms = await realm.clock.run(Promise.all(Array.from({ length: n }, open)));
      const swarms = bottoms.map((tcp, i) => stack.reduce((inner, layer) => layer.wrap(inner, i), any(tcp)));
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        [Symbol.asyncDispose]: async () => {
          // A channel of mux does not close what it is a channel of.
          await Promise.all([...swarms, ...bottoms].map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const STACKS = 10;

for (let seed = 201; seed <= 200 + STACKS; seed++) {
  const stack = chooseStack(createSeededRandom(seed));
  const name = `seed ${seed}: tcp, ${stack.map((layer) => layer.name).join(', ')}`;
  const made = fixture(stack, seed);
  const probe = await made.make(1);
  const [top] = probe.swarms;
  swarmSuite({ describe, it }, name, made);
  if (canAsk(top!)) askSuite({ describe, it }, name, made as SuiteFixture<AskSwarm<Addr>>);
  if (isSecure(top!)) secureSuite({ describe, it }, name, made as SuiteFixture<SecureAskSwarm<Addr>>);
  await probe[Symbol.asyncDispose]();
}
