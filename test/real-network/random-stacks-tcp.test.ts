/** Random stacks of wrappers over the TCP swarm, on real sockets: each must pass the suites for what it can do. */

import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import { type AskSwarm, canAsk } from '../../src/core/ask.ts';
import { type SecureAskSwarm, isSecure } from '../../src/core/secure.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { any, chooseStack, featuresOf, type Layer } from '../scenarios/stacks.ts';

function fixture(stack: readonly Layer[]): SuiteFixture<Swarm<Addr>> {
  return {
    features: {
      manyMessages: 300,
      manySwarms: 3,
      maxTriedBytes: 30_000,
      settleMs: 60,
      ...featuresOf(stack, { flowControlled: true }),
    },
    make: async (n) => {
      const bottoms = await Promise.all(
        Array.from({ length: n }, (_, i) => openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i) })),
      );
      const swarms = bottoms.map((tcp, i) => stack.reduce((inner, layer) => layer.wrap(inner, i), any(tcp)));
      return {
        swarms,
        [Symbol.asyncDispose]: async () => {
          // A channel of mux does not close what it is a channel of.
          await Promise.all([...swarms, ...bottoms].map((swarm) => swarm.close()));
        },
      };
    },
  };
}

/** Few, and without QUIC, because what is waited for here is waited for in real time. */
const SEEDS = [101, 104] as const;

for (const seed of SEEDS) {
  const stack = chooseStack(createSeededRandom(seed), 'quic');
  const name = `seed ${seed}: tcp, ${stack.map((layer) => layer.name).join(', ')}`;
  const made = fixture(stack);
  const probe = await made.make(1);
  const [top] = probe.swarms;
  swarmSuite({ describe, it }, name, made);
  if (canAsk(top!)) askSuite({ describe, it }, name, made as SuiteFixture<AskSwarm<Addr>>);
  if (isSecure(top!)) secureSuite({ describe, it }, name, made as SuiteFixture<SecureAskSwarm<Addr>>);
  await probe[Symbol.asyncDispose]();
}
