import { describe, it } from 'node:test';

import { peerIdOfKey } from '../../src/identity/keys.ts';
import { tcpAddr } from '../../src/swarms/tcp/address.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);

const fixture: SuiteFixture<TcpSwarm> = {
  features: { flowControlled: true, manySwarms: 6, settleMs: 60 },
  make: async (n) => {
    const swarms = await Promise.all(
      Array.from({ length: n }, (_, i) => openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i) })),
    );
    return {
      swarms,
      unknownAddr: () => swarms[0]!.parseAddr(`${idOf(77)}@127.0.0.1:9`),
      wrongAddr: (index) => tcpAddr(idOf(78), swarms[index]!.addr.inner),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};

swarmSuite({ describe, it }, 'tcp', fixture);
askSuite({ describe, it }, 'tcp', fixture);
secureSuite({ describe, it }, 'tcp', fixture);
