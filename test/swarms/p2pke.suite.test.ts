import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import {
  type MemoryAddr,
  type MemoryRealmOptions,
  createMemoryRealm,
  memoryAddr,
} from '../../src/swarms/memory/index.ts';
import { type P2pkeAddr, p2pke, p2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { type SuiteFeatures, type SuiteFixture, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const runner = { describe, it };
const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);

function overMemory<I extends Addr>(
  wrap: (inner: Swarm<MemoryAddr>, i: number) => Swarm<I>,
  nobody: (inner: MemoryAddr) => I,
  options: MemoryRealmOptions = {},
  features: SuiteFeatures = {},
): SuiteFixture<SecureSwarm<P2pkeAddr<I>>> {
  return {
    features: { lossy: options.netem !== undefined, ...features },
    make: async (n) => {
      const realm = createMemoryRealm({ ...options, clock: 'virtual' });
      const swarms = Array.from({ length: n }, (_, i) => p2pke(wrap(realm.swarm(), i), { privateKey: testKey(i) }));
      const mallory = realm.swarm();
      const innerOf = (index: number): I => swarms[index]!.addr.inner;
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        unknownAddr: () => p2pkeAddr(idOf(77), nobody(memoryAddr(999))),
        wrongAddr: (index) => p2pkeAddr(idOf(78), innerOf(index)),
        inject: (index, bytes) => mallory.tell(memoryAddr(index), bytes.subarray(0, realm.mtu)),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...swarms, mallory].map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const overUdp: SuiteFixture<SecureSwarm<P2pkeAddr<UdpAddr>>> = {
  features: { manyMessages: 1000, manySwarms: 4, settleMs: 40 },
  make: async (n) => {
    const inner = await Promise.all(Array.from({ length: n + 1 }, () => openUdpSwarm({ bind: '127.0.0.1:0' })));
    const mallory = inner.pop()!;
    const swarms = inner.map((swarm, i) => p2pke(swarm, { privateKey: testKey(i) }));
    return {
      swarms,
      unknownAddr: () => swarms[0]!.parseAddr(`${idOf(77)}@127.0.0.1:9`),
      wrongAddr: (index) => p2pkeAddr(idOf(78), swarms[index]!.addr.inner),
      inject: (index, bytes) => mallory.tell(swarms[index]!.addr.inner, bytes),
      [Symbol.asyncDispose]: async () => {
        await Promise.all([...swarms, mallory].map((swarm) => swarm.close()));
      },
    };
  },
};

function both<I extends Addr>(name: string, fixture: SuiteFixture<SecureSwarm<P2pkeAddr<I>>>): void {
  swarmSuite(runner, name, fixture);
  secureSuite(runner, name, fixture);
}

both(
  'p2pke over memory',
  overMemory(
    (inner) => inner,
    (addr) => addr,
  ),
);
both('p2pke over udp', overUdp);
both(
  'p2pke over netem lossy',
  overMemory(
    (inner) => inner,
    (addr) => addr,
    { netem: 'lossy', seed: 9, mtu: 1212 },
    { settleMs: 1000 },
  ),
);
both(
  'p2pke over p2pke over memory',
  overMemory(
    (inner, i) => p2pke(inner, { privateKey: testKey(100 + i) }),
    (addr) => p2pkeAddr(idOf(177), addr),
  ),
);
