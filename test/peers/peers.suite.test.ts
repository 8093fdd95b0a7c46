/** The connection manager passes the suites: over TCP, over QUIC, and while the path changes. */

import { describe, it } from 'node:test';

import type { Peers, PeersOptions } from '../../src/peers/index.ts';
import { peerAddr } from '../../src/peers/address.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

const runner = { describe, it };

/** Every 150 ms the path of each pair dies: connections end, and the peers dial each other again, which takes 20 ms. */
function disturb(w: PeersWorld): void {
  const strike = (): void => {
    for (const [transport, peers] of w.cuts) for (const peer of peers()) transport.disconnect(peer);
    w.realm.clock.setTimer(w.realm.nowMs() + 150, strike, { background: true });
  };
  w.realm.clock.setTimer(w.realm.nowMs() + 150, strike, { background: true });
}

function fixture(options: Partial<PeersOptions>, isDisturbed = false): SuiteFixture<Peers> {
  return {
    features: { flowControlled: true, manyMessages: 500, manySwarms: 4, settleMs: 2000 },
    make: async (n) => {
      await loadQuicEngine(); // real I/O, which virtual time cannot wait for
      const w = new PeersWorld({ latencyMs: 2, trace: undefined });
      const swarms: Peers[] = [];
      for (let i = 0; i < n; i++) swarms.push(await w.open(i, w.net.host(), options));
      if (isDisturbed) disturb(w);
      w.directory.addrs.set(idOf(77), [`${idOf(77)}@11.200.0.1:9`]);
      return {
        swarms,
        run: (promise) => w.run(promise),
        unknownAddr: () => peerAddr(idOf(77)),
        wrongAddr: (index) => {
          const addrs = swarms[index]!.addrs.map((addr) => addr.replace(idOf(index), idOf(78)));
          w.directory.addrs.set(idOf(78), addrs);
          return peerAddr(idOf(78));
        },
        [Symbol.asyncDispose]: () => w.close(),
      };
    },
  };
}

for (const [name, options] of [
  ['peers over TCP', { transports: ['tcp'] }],
  ['peers over QUIC', { transports: ['quic'] }],
  ['peers over TCP and QUIC', {}],
] as const) {
  for (const isDisturbed of [false, true]) {
    const called = isDisturbed ? `${name}, whose connections end all the time` : name;
    swarmSuite(runner, called, fixture(options, isDisturbed));
    askSuite(runner, called, fixture(options, isDisturbed));
    secureSuite(runner, called, fixture(options, isDisturbed));
  }
}
