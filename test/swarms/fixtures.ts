/** Fixtures that the suites of wrappers share: what to wrap, and how to wait for it. */

import type { Swarm } from '../../src/core/swarm.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import {
  type MemoryAddr,
  type MemoryRealmOptions,
  createMemoryRealm,
  memoryAddr,
} from '../../src/swarms/memory/index.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import type { SuiteFeatures, SuiteFixture } from '../../src/testing/suites/index.ts';

interface Closable {
  close(): Promise<void>;
}

/** Wraps each of `n` secure memory swarms in virtual time. */
export function overMemory<S extends Closable>(
  wrap: (inner: SecureAskSwarm<MemoryAddr>, index: number) => S,
  options: MemoryRealmOptions = {},
  features: SuiteFeatures = {},
): SuiteFixture<S> {
  return {
    features: { lossy: options.netem !== undefined, ...features },
    make: async (n) => {
      const realm = createMemoryRealm({ ...options, clock: 'virtual' });
      const inner = Array.from({ length: n }, (_, i) =>
        realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) }),
      );
      const swarms = inner.map((swarm, i) => wrap(swarm, i));
      const mallory = realm.swarm();
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        inject: (index, bytes) => mallory.tell(memoryAddr(index), bytes.subarray(0, realm.mtu)),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...swarms, ...inner].map((swarm) => swarm.close()));
        },
      };
    },
  };
}

/** Wraps each of `n` UDP swarms on loopback. */
export function overUdp<S extends Closable>(
  wrap: (inner: Swarm<UdpAddr>, index: number) => S,
  features: SuiteFeatures = {},
): SuiteFixture<S> {
  return {
    features: { manyMessages: 1000, manySwarms: 4, settleMs: 20, ...features },
    make: async (n) => {
      const inner = await Promise.all(Array.from({ length: n + 1 }, () => openUdpSwarm({ bind: '127.0.0.1:0' })));
      const mallory = inner.pop()!;
      const swarms = inner.map((swarm, i) => wrap(swarm, i));
      const addrs = inner.map((swarm) => swarm.addr);
      return {
        swarms,
        inject: (index, bytes) => mallory.tell(addrs[index]!, bytes),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...swarms, ...inner, mallory].map((swarm) => swarm.close()));
        },
      };
    },
  };
}
