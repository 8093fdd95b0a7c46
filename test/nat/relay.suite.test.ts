/** Swarms through a relay: the suites, over every kind of swarm below, and with p2pke and QUIC on top. */

import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import type { SecureSwarm } from '../../src/core/secure.ts';
import type { RelayAddr, RelaySwarm } from '../../src/nat/index.ts';
import { p2pke, type P2pkeAddr, p2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { quicAddr } from '../../src/swarms/quic/address.ts';
import { loadQuicEngine, quic, type QuicAddr } from '../../src/swarms/quic/index.ts';
import { openTcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import {
  askSuite,
  secureSuite,
  type SuiteFeatures,
  type SuiteFixture,
  swarmSuite,
} from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, nobodyAt, overRelay, relayWorld, type RelayWorld } from '../support/relay-world.ts';

const runner = { describe, it };
interface Opened<A extends Addr> {
  readonly inner: readonly SecureSwarm<A>[];
  readonly run?: RelayWorld['run'];
}

const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);

async function inMemory(n: number) {
  const world = relayWorld();
  return { inner: range(n).map((i) => world.inner(i)), run: world.run };
}

async function overUdp(n: number) {
  const open = (i: number) =>
    openUdpSwarm({ bind: '127.0.0.1:0', maxDatagramBytes: 1300 }).then((udp) => p2pke(udp, { privateKey: testKey(i) }));
  return { inner: await Promise.all(range(n).map(open)) };
}

async function overTcp(n: number) {
  const open = (i: number) => openTcpSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i) });
  return { inner: await Promise.all(range(n).map(open)) };
}

/** The suite of plain swarms, of p2pke and of QUIC through a relay. */
function all<A extends Addr>(name: string, open: (n: number) => Promise<Opened<A>>, features: SuiteFeatures): void {
  const unknown = (_: unknown, relay: A) => ({ unknownAddr: () => nobodyAt(relay) });
  const plain = overRelay<A, RelaySwarm<A>>(open, (swarm) => swarm, { manyMessages: 500, ...features }, unknown);
  swarmSuite(runner, `relayed over ${name}`, plain);

  type Sealed = SecureSwarm<P2pkeAddr<RelayAddr<A>>>;
  const sealed: SuiteFixture<Sealed> = overRelay<A, Sealed>(
    open,
    (swarm, i) => p2pke(swarm, { privateKey: testKey(i) }),
    { manyMessages: 500, ...features },
    (made, relay) => ({
      unknownAddr: () => p2pkeAddr(idOf(77), nobodyAt(relay)),
      wrongAddr: (index) => p2pkeAddr(idOf(78), made[index]!.addr.inner),
    }),
  );
  swarmSuite(runner, `p2pke relayed over ${name}`, sealed);
  secureSuite(runner, `p2pke relayed over ${name}`, sealed);

  const quicFeatures = { ordered: false, flowControlled: true, maxTriedBytes: 100_000, settleMs: 400 };
  const overQuic: SuiteFixture<ReturnType<typeof quic<RelayAddr<A>>>> = overRelay(
    open,
    (swarm, i) => quic(swarm, { privateKey: testKey(i) }),
    { manyMessages: 500, ...quicFeatures, ...features },
    (made, relay) => ({
      unknownAddr: (): QuicAddr<RelayAddr<A>> => quicAddr(idOf(77), nobodyAt(relay)),
      wrongAddr: (index) => quicAddr(idOf(78), made[index]!.addr.inner),
    }),
  );
  swarmSuite(runner, `quic relayed over ${name}`, overQuic);
  askSuite(runner, `quic relayed over ${name}`, overQuic);
  secureSuite(runner, `quic relayed over ${name}`, overQuic);
}

await loadQuicEngine();
all('memory', inMemory, {});
all('p2pke over UDP', overUdp, { manySwarms: 4, settleMs: 60 });
all('tcp', overTcp, { manySwarms: 4, settleMs: 60 });
