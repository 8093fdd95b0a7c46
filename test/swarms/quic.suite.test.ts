import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Addr } from '../../src/core/addr.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import {
  type MemoryAddr,
  type MemoryRealmOptions,
  createMemoryRealm,
  memoryAddr,
} from '../../src/swarms/memory/index.ts';
import { frag } from '../../src/wrappers/frag.ts';
import { quicAddr } from '../../src/swarms/quic/address.ts';
import { type QuicAddr, openQuicSwarm, quic } from '../../src/swarms/quic/index.ts';
import { type P2pkeAddr, p2pke } from '../../src/swarms/p2pke/index.ts';
import { type UdpAddr, openUdpSwarm } from '../../src/swarms/udp.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';

const idOf = (i: number) => peerIdOfKey(testKey(i).publicKey);

function overMemory(options: MemoryRealmOptions = {}): SuiteFixture<SecureAskSwarm<QuicAddr<MemoryAddr>>> {
  return {
    features: {
      ordered: false,
      flowControlled: true,
      manyMessages: 2000,
      maxTriedBytes: 200_000,
      settleMs: options.netem === undefined ? 400 : 4000,
    },
    make: async (n) => {
      const realm = createMemoryRealm({ ...options, clock: 'virtual' });
      const inner = Array.from({ length: n + 1 }, () => realm.swarm());
      const swarms = inner.slice(0, n).map((swarm, i) => quic(swarm, { privateKey: testKey(i) }));
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        unknownAddr: () => quicAddr(idOf(77), memoryAddr(999)),
        wrongAddr: (index) => quicAddr(idOf(78), swarms[index]!.addr.inner),
        inject: (index, bytes) => inner[n]!.tell(swarms[index]!.addr.inner, bytes),
        [Symbol.asyncDispose]: async () => {
          await Promise.all([...swarms, inner[n]!].map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const overUdp: SuiteFixture<SecureAskSwarm<QuicAddr<UdpAddr>>> = {
  features: { ordered: false, flowControlled: true, manyMessages: 2000, manySwarms: 5, settleMs: 60 },
  make: async (n) => {
    const swarms = await Promise.all(
      Array.from({ length: n }, (_, i) => openQuicSwarm({ bind: '127.0.0.1:0', privateKey: testKey(i) })),
    );
    return {
      swarms,
      unknownAddr: () => swarms[0]!.parseAddr(`${idOf(77)}@127.0.0.1:9`),
      wrongAddr: (index) => quicAddr(idOf(78), swarms[index]!.addr.inner),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};

/** QUIC on swarms that `wrap` makes of memory swarms. */
function overWrapped<I extends Addr>(
  mtu: number,
  wrap: (inner: Swarm<MemoryAddr>, i: number) => Swarm<I>,
): SuiteFixture<SecureAskSwarm<QuicAddr<I>>> {
  return {
    features: { ordered: false, flowControlled: true, manyMessages: 500, maxTriedBytes: 100_000, settleMs: 1500 },
    make: async (n) => {
      const realm = createMemoryRealm({ clock: 'virtual', mtu });
      const swarms = Array.from({ length: n }, (_, i) => quic(wrap(realm.swarm(), i), { privateKey: testKey(i) }));
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        wrongAddr: (index) => quicAddr(idOf(78), swarms[index]!.addr.inner),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const overFrag = overWrapped(300, (inner) => frag(inner));
swarmSuite({ describe, it }, 'quic over frag over memory of 300 bytes', overFrag);
askSuite({ describe, it }, 'quic over frag over memory of 300 bytes', overFrag);
secureSuite({ describe, it }, 'quic over frag over memory of 300 bytes', overFrag);

/** Twice encrypted: what P2PKE leaves of a UDP datagram that fits every path is 1212 bytes. */
const overP2pke: SuiteFixture<SecureAskSwarm<QuicAddr<P2pkeAddr<UdpAddr>>>> = {
  features: { ordered: false, flowControlled: true, manyMessages: 500, manySwarms: 4, settleMs: 100 },
  make: async (n) => {
    const inner = await Promise.all(Array.from({ length: n }, () => openUdpSwarm({ bind: '127.0.0.1:0' })));
    const swarms = inner.map((udp, i) => {
      const secured = p2pke(udp, { privateKey: testKey(i) });
      assert.equal(secured.mtu(secured.addr), 1212);
      return quic(secured, { privateKey: testKey(i) });
    });
    return {
      swarms,
      unknownAddr: () => swarms[0]!.parseAddr(`${idOf(77)}@${idOf(77)}@127.0.0.1:9`),
      wrongAddr: (index) => quicAddr(idOf(78), swarms[index]!.addr.inner),
      [Symbol.asyncDispose]: async () => {
        await Promise.all(swarms.map((swarm) => swarm.close()));
      },
    };
  },
};
swarmSuite({ describe, it }, 'quic over p2pke over UDP', overP2pke);
askSuite({ describe, it }, 'quic over p2pke over UDP', overP2pke);
secureSuite({ describe, it }, 'quic over p2pke over UDP', overP2pke);

swarmSuite({ describe, it }, 'quic on UDP', overUdp);
askSuite({ describe, it }, 'quic on UDP', overUdp);
secureSuite({ describe, it }, 'quic on UDP', overUdp);

for (const [name, fixture] of [
  ['quic over memory', overMemory({ mtu: 1500 })],
  ['quic over memory with netem lossy', overMemory({ mtu: 1500, netem: 'lossy', seed: 7 })],
] as const) {
  swarmSuite({ describe, it }, name, fixture);
  askSuite({ describe, it }, name, fixture);
  secureSuite({ describe, it }, name, fixture);
}
