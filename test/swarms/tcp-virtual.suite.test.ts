/** The TCP swarm over Noise in a network in memory, in virtual time: the suites, and what takes long in real time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { inspect } from '../../src/core/inspect.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import type { MemoryRealm } from '../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { tcpAddr } from '../../src/swarms/tcp/address.ts';
import type { TcpSwarm, TcpSwarmOptions } from '../../src/swarms/tcp/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import type { FlatNetworkOptions } from '../support/flat-network.ts';
import { tcpWorld } from '../support/tcp-world.ts';

const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);
const connections = (swarm: TcpSwarm) => Number(inspect(swarm).state['connections']);

interface World {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly swarms: readonly TcpSwarm[];
}

async function world(
  n: number,
  links: Partial<FlatNetworkOptions> = {},
  options: Partial<TcpSwarmOptions> = {},
): Promise<World> {
  const { realm, open } = tcpWorld(links);
  const swarms: TcpSwarm[] = [];
  for (let i = 0; i < n; i++) swarms.push(await open(i, `10.0.0.${i + 1}`, options));
  return { realm, swarms };
}

function fixture(links: Partial<FlatNetworkOptions>): SuiteFixture<TcpSwarm> {
  return {
    features: { flowControlled: true, manyMessages: 2000, maxTriedBytes: 1_000_000, settleMs: 2000 },
    make: async (n) => {
      const { realm, swarms } = await world(n, links);
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        unknownAddr: () => tcpAddr(idOf(77), { ip: '10.0.0.99', port: 4000 }),
        wrongAddr: (index) => tcpAddr(idOf(78), swarms[index]!.addr.inner),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

for (const [name, links] of [
  ['tcp over Noise in memory', {}],
  ['tcp over Noise in memory, 40 ms away', { latencyMs: 40, windowBytes: 262_144 }],
] as const) {
  swarmSuite({ describe, it }, name, fixture(links));
  askSuite({ describe, it }, name, fixture(links));
  secureSuite({ describe, it }, name, fixture(links));
}

describe('tcp in virtual time', () => {
  it('dialled at once from both sides, whatever the distance, one connection is left and nothing is lost', async () => {
    for (const latencyMs of [0, 1, 30, 500]) {
      const { realm, swarms } = await world(2, { latencyMs });
      const [alice, bob] = swarms as [TcpSwarm, TcpSwarm];
      const heard = [0, 0];
      alice.listen(() => void heard[0]!++);
      bob.listen(() => void heard[1]!++);
      const tells = Array.from({ length: 20 }, () => [
        alice.tell(bob.addr, new Uint8Array(9)),
        bob.tell(alice.addr, new Uint8Array(9)),
      ]);
      await realm.clock.run(Promise.all(tells.flat()));
      await realm.clock.advance(30_000);
      assert.deepEqual(heard, [20, 20], `${latencyMs} ms`);
      assert.deepEqual([connections(alice), connections(bob)], [1, 1], `${latencyMs} ms`);
      await realm.clock.run(Promise.all(swarms.map((swarm) => swarm.close())));
    }
  });

  it('is closed after a minute of silence, not before, and dials again', async () => {
    const { realm, swarms } = await world(2, { latencyMs: 5 });
    const [alice, bob] = swarms as [TcpSwarm, TcpSwarm];
    bob.serve(({ payload }) => payload);
    await realm.clock.run(alice.ask(bob.addr, new Uint8Array(1)));
    await realm.clock.advance(59_000);
    assert.equal(connections(alice), 1);
    await realm.clock.advance(20_000);
    assert.deepEqual([connections(alice), connections(bob)], [0, 0]);
    await realm.clock.run(alice.ask(bob.addr, new Uint8Array(1)));
    assert.equal(connections(bob), 1);
    await realm.clock.run(Promise.all(swarms.map((swarm) => swarm.close())));
  });

  it('a hundred peers ask each other, and the same seed gives the same run', async () => {
    const run = async (): Promise<string> => {
      const { realm, swarms } = await world(100, { latencyMs: 10 });
      let log = '';
      for (const swarm of swarms) swarm.serve(({ payload }) => payload);
      const asks = swarms.map(async (swarm, i) => {
        for (const hop of [1, 7, 50]) {
          await swarm.ask(swarms[(i + hop) % swarms.length]!.addr, Uint8Array.of(i));
          log += `${i}+${hop}@${realm.nowMs()} `;
        }
      });
      await realm.clock.run(Promise.all(asks));
      const all = swarms.map((swarm) => JSON.stringify(inspect(swarm).counters)).join();
      await realm.clock.run(Promise.all(swarms.map((swarm) => swarm.close())));
      return log + all;
    };
    assert.equal(await run(), await run());
  });
});
