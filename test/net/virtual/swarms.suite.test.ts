/** The swarms of shoal as they are, on virtual hosts: each behind a router of its own, and all in one LAN. */

import { describe, it } from 'node:test';

import type { Addr } from '../../../src/core/addr.ts';
import type { SecureAskSwarm, SecureSwarm } from '../../../src/core/secure.ts';
import { peerIdOfKey } from '../../../src/identity/keys.ts';
import { udpAddr } from '../../../src/net/socket-address.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { p2pke, p2pkeAddr } from '../../../src/swarms/p2pke/index.ts';
import { quicAddr } from '../../../src/swarms/quic/address.ts';
import { openQuicSwarm } from '../../../src/swarms/quic/index.ts';
import { tcpAddr } from '../../../src/swarms/tcp/address.ts';
import { sshAddr, sshIdOf } from '../../../src/swarms/ssh/address.ts';
import { openSshSwarm } from '../../../src/swarms/ssh/index.ts';
import { openTcpSwarm } from '../../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import {
  type SuiteFeatures,
  type SuiteFixture,
  askSuite,
  secureSuite,
  swarmSuite,
} from '../../../src/testing/suites/index.ts';
import { testKey } from '../../../src/testing/test-key.ts';
import { VirtualWorld } from '../../support/virtual-world.ts';

const runner = { describe, it };
const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);
const NOBODY = { ip: '11.200.0.1', port: 9 };
const DATAGRAMS: SuiteFeatures = { manyMessages: 1000, manySwarms: 4, settleMs: 1000 };
const STREAMS: SuiteFeatures = { flowControlled: true, manyMessages: 500, manySwarms: 4, settleMs: 2000 };

type Hosts = (w: VirtualWorld, n: number) => VirtualHost[];

const PLACES: readonly (readonly [string, Hosts])[] = [
  [
    'behind routers, 40 ms apart',
    ({ net }, n) => Array.from({ length: n }, () => net.host({ behind: net.nat('open') })),
  ],
  [
    'in one LAN behind a NAT',
    ({ net }, n) => {
      const behind = net.nat('random', { lanLatencyMs: 1 });
      return Array.from({ length: n }, () => net.host({ behind }));
    },
  ],
];

/** @param open - opens swarm `i` on a host. */
function fixture<S extends SecureSwarm<A>, A extends Addr & { readonly inner: Addr }>(
  hosts: Hosts,
  features: SuiteFeatures,
  open: (host: VirtualHost, i: number) => Promise<S>,
  addrs: { readonly unknown: () => A; readonly wrong: (inner: A['inner']) => A },
): SuiteFixture<S> {
  return {
    features,
    make: async (n) => {
      const w = new VirtualWorld({ latencyMs: 40, trace: undefined });
      const swarms = await Promise.all(hosts(w, n).map(open));
      return {
        swarms,
        run: (promise) => w.run(promise),
        unknownAddr: addrs.unknown as never,
        wrongAddr: ((index: number) => addrs.wrong((swarms[index] as SecureSwarm<A>).addr.inner)) as never,
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

function all<A extends Addr>(name: string, made: SuiteFixture<SecureAskSwarm<A>>): void {
  swarmSuite(runner, name, made);
  askSuite(runner, name, made);
  secureSuite(runner, name, made);
}

for (const [where, hosts] of PLACES) {
  const overUdp = fixture(
    hosts,
    DATAGRAMS,
    async ({ realm, network }, i) => p2pke(await openUdpSwarm({ realm, network }), { privateKey: testKey(i) }),
    {
      unknown: () => p2pkeAddr(idOf(77), udpAddr(NOBODY)),
      wrong: (inner) => p2pkeAddr(idOf(78), inner),
    },
  );
  swarmSuite(runner, `p2pke over UDP ${where}`, overUdp);
  secureSuite(runner, `p2pke over UDP ${where}`, overUdp);
  for (const security of ['noise', 'tls'] as const) {
    all(
      `tcp by ${security} ${where}`,
      fixture(
        hosts,
        STREAMS,
        ({ realm, network }, i) => openTcpSwarm({ realm, network, security, privateKey: testKey(i) }),
        {
          unknown: () => tcpAddr(idOf(77), NOBODY),
          wrong: (inner) => tcpAddr(idOf(78), inner),
        },
      ),
    );
  }
  all(
    `ssh ${where}`,
    fixture(hosts, STREAMS, ({ realm, network }, i) => openSshSwarm({ realm, network, privateKey: testKey(i) }), {
      unknown: () => sshAddr(sshIdOf(testKey(77).publicKey), NOBODY),
      wrong: (inner) => sshAddr(sshIdOf(testKey(78).publicKey), inner),
    }),
  );
  all(
    `quic ${where}`,
    fixture(
      hosts,
      { ...STREAMS, ordered: false },
      ({ realm, network }, i) => openQuicSwarm({ realm, network, privateKey: testKey(i) }),
      {
        unknown: () => quicAddr(idOf(77), udpAddr(NOBODY)),
        wrong: (inner) => quicAddr(idOf(78), inner),
      },
    ),
  );
}
