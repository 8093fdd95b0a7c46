import { describe, it } from 'node:test';

import { sshAddr, sshIdOf } from '../../src/swarms/ssh/address.ts';
import { openSshSwarm, type SshSwarm } from '../../src/swarms/ssh/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const idOf = (i: number) => sshIdOf(testKey(i).publicKey);

const fixture: SuiteFixture<SshSwarm> = {
  features: { flowControlled: true, manySwarms: 6, settleMs: 60 },
  make: async (n) => {
    const swarms = await Promise.all(
      Array.from({ length: n }, (_, i) => openSshSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i) })),
    );
    return {
      swarms,
      unknownAddr: () => sshAddr(idOf(77), { ip: '127.0.0.1', port: 9 }),
      wrongAddr: (index) => sshAddr(idOf(78), swarms[index]!.addr.inner),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};

swarmSuite({ describe, it }, 'ssh', fixture);
askSuite({ describe, it }, 'ssh', fixture);
secureSuite({ describe, it }, 'ssh', fixture);
