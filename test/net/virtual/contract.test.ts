/** A virtual host is a network like this system's: see test/real-network/network.test.ts for the same tests there. */

import { describe, it } from 'node:test';

import { createMemoryRealm } from '../../../src/swarms/memory/index.ts';
import { createVirtualInternet } from '../../../src/net/virtual/internet.ts';
import { pause } from '../../support/nat-probe.ts';
import { networkContract } from '../../support/network-contract.ts';

for (const [where, latencyMs, isOne] of [
  ['two hosts at one instant', 0, false],
  ['two hosts, 40 ms apart', 40, false],
  ['one host to itself', 0, true],
] as const) {
  networkContract({ describe, it }, `virtual network, ${where}`, () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const net = createVirtualInternet({ realm, latencyMs, ipv6: true });
    const near = net.host();
    const far = isOne ? near : net.host();
    return {
      near: near.network,
      far: far.network,
      nearIp: near.ip,
      farIp: far.ip,
      run: (promise) => realm.clock.run(promise),
      tick: () => pause(realm, 10),
    };
  });
}
