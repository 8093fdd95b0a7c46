import { describe, it } from 'node:test';

import type { Swarm } from '../../src/core/swarm.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { type SuiteFixture, swarmSuite } from '../../src/testing/suites/index.ts';

/** Loopback drops nothing as long as nobody outruns the receiver, which the suite does not. */
const fixture = (bind: string): SuiteFixture<Swarm<UdpAddr>> => ({
  features: { manyMessages: 2000, manySwarms: 5, settleMs: 20 },
  make: async (n) => {
    const swarms = await Promise.all(Array.from({ length: n }, () => openUdpSwarm({ bind })));
    return {
      swarms,
      unknownAddr: () => swarms[0]!.parseAddr(bind.replace(':0', ':9')),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
});

swarmSuite({ describe, it }, 'udp on IPv4 loopback', fixture('127.0.0.1:0'));
swarmSuite({ describe, it }, 'udp on IPv6 loopback', fixture('[::1]:0'));
