/** The suites on swarms through a TURN server, in virtual time. */

import { describe, it } from 'node:test';

import { openTurnSwarm, type TurnSwarm } from '../../src/nat/index.ts';
import { parseUdpAddr, type UdpAddr } from '../../src/net/socket-address.ts';
import { p2pke, p2pkeAddr, type P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { quicAddr } from '../../src/swarms/quic/address.ts';
import { loadQuicEngine, quic, type QuicSwarm } from '../../src/swarms/quic/index.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import { askSuite, secureSuite, type SuiteFixture, swarmSuite } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf } from '../support/relay-world.ts';
import { TurnTestServer } from '../support/turn-server.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const runner = { describe, it };

function fixture<S extends { close(): Promise<void> }>(
  transport: 'udp' | 'tcp',
  wrap: (swarm: TurnSwarm, i: number) => S,
  features: SuiteFixture<S>['features'],
  more: (made: readonly S[]) => Partial<Awaited<ReturnType<SuiteFixture<S>['make']>>>,
): SuiteFixture<S> {
  return {
    features: { manyMessages: 500, settleMs: 2000, ...features },
    make: async (n) => {
      const w = new VirtualWorld({ trace: undefined });
      const host = w.net.host();
      await w.run(TurnTestServer.open(host.network, host.realm, host.ip));
      const swarms: TurnSwarm[] = [];
      for (let i = 0; i < n; i++) {
        const { network, realm } = w.net.host({ behind: w.net.nat(i % 2 === 0 ? 'random' : 'port') });
        const own = { server: `${host.ip}:3478`, transport, username: 'user', credential: 'secret', network, realm };
        const swarm = await w.run(openTurnSwarm(own));
        // All relayed addresses are of one IP.
        await w.run(swarm.permit(swarm.addr));
        swarms.push(swarm);
      }
      const made = swarms.map((swarm, i) => wrap(swarm, i));
      return {
        swarms: made,
        run: (promise) => w.run(promise),
        ...more(made),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(made.map((each) => each.close()));
        },
      };
    },
  };
}

await loadQuicEngine();
const nobody = parseUdpAddr('203.0.113.99:9');
for (const transport of ['udp', 'tcp'] as const) {
  const plain = fixture<TurnSwarm>(
    transport,
    (swarm) => swarm,
    {},
    () => ({ unknownAddr: () => nobody }),
  );
  swarmSuite(runner, `turn over ${transport}`, plain);

  type Sealed = SecureSwarm<P2pkeAddr<UdpAddr>>;
  const sealed = fixture<Sealed>(
    transport,
    (swarm, i) => p2pke(swarm, { privateKey: testKey(i) }),
    {},
    (made) => ({ wrongAddr: (index) => p2pkeAddr(idOf(78), made[index]!.addr.inner) }),
  );
  swarmSuite(runner, `p2pke over turn over ${transport}`, sealed);
  secureSuite(runner, `p2pke over turn over ${transport}`, sealed);

  const overQuic = fixture<QuicSwarm<UdpAddr>>(
    transport,
    (swarm, i) => quic(swarm, { privateKey: testKey(i) }),
    { ordered: false, flowControlled: true, maxTriedBytes: 100_000 },
    (made) => ({ wrongAddr: (index) => quicAddr(idOf(78), made[index]!.addr.inner) }),
  );
  swarmSuite(runner, `quic over turn over ${transport}`, overQuic);
  askSuite(runner, `quic over turn over ${transport}`, overQuic);
  secureSuite(runner, `quic over turn over ${transport}`, overQuic);
}
