import { describe, it } from 'node:test';

import {
  type MemoryAddr,
  type MemoryRealmOptions,
  createMemoryRealm,
  memoryAddr,
} from '../../src/swarms/memory/index.ts';
import type { AskSwarm } from '../../src/core/ask.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';

function plain(options: MemoryRealmOptions = {}): SuiteFixture<AskSwarm<MemoryAddr>> {
  return {
    features: { lossy: options.netem !== undefined, manyMessages: 10_000 },
    make: async (n) => {
      const realm = createMemoryRealm({ ...options, clock: 'virtual' });
      const swarms = Array.from({ length: n }, () => realm.swarm());
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        unknownAddr: () => memoryAddr(999),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const secure: SuiteFixture<SecureAskSwarm<MemoryAddr>> = {
  make: async (n) => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const swarms = Array.from({ length: n }, (_, i) =>
      realm.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(i) }),
    );
    return {
      swarms,
      run: (promise) => realm.clock.run(promise),
      unknownAddr: () => memoryAddr(999),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};

swarmSuite({ describe, it }, 'memory', plain());
askSuite({ describe, it }, 'memory', plain());
swarmSuite({ describe, it }, 'memory over netem lossy', plain({ netem: 'lossy', seed: 7 }));
askSuite({ describe, it }, 'memory over netem lossy', plain({ netem: 'lossy', seed: 7 }));
swarmSuite({ describe, it }, 'secure memory', secure);
askSuite({ describe, it }, 'secure memory', secure);
secureSuite({ describe, it }, 'secure memory', secure);
