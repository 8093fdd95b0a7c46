/** Every kind of NAT does what its name says, judged from behind it by the probe that kernels are judged by, too. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { createMemoryRealm, type MemoryRealm } from '../../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../../src/runtime/virtual-clock.ts';
import { createVirtualInternet, type VirtualInternet } from '../../../src/net/virtual/internet.ts';
import { NAT_KINDS, type NatDependence, type NatKind, type NatPorts } from '../../../src/net/virtual/nat-rules.ts';
import type { VirtualHost } from '../../../src/net/virtual/types.ts';
import { type NatVerdict, openTcpHelpers, openUdpHelpers, probeTcp, probeUdp } from '../../support/nat-probe.ts';

interface World {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly net: VirtualInternet;
  readonly helpers: readonly VirtualHost[];
}

function world(): World {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const net = createVirtualInternet({ realm, seed: 1 });
  return { realm, net, helpers: [net.host(), net.host()] };
}

async function judge({ realm, helpers }: World, host: VirtualHost, protocol: 'udp' | 'tcp'): Promise<NatVerdict> {
  const places = helpers.map(({ network, ip }) => ({ network, ip, ports: [443, 3479] }));
  return realm.clock.run(
    (async () => {
      const opened = await (protocol === 'udp' ? openUdpHelpers(places) : openTcpHelpers(places));
      const verdict = await (protocol === 'udp'
        ? probeUdp(host.network, host.realm, opened)
        : probeTcp(host.network, host.realm, opened, 5000));
      await opened.close();
      return verdict;
    })(),
  );
}

const DEPENDENCES: readonly NatDependence[] = [
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
];
const PORTS: readonly NatPorts[] = ['preserve', 'sequential', 'random'];

describe('kinds of NAT', () => {
  for (const kind of Object.keys(NAT_KINDS) as NatKind[]) {
    for (const protocol of ['udp', 'tcp'] as const) {
      it(`${kind}, ${protocol}: the probe finds the rules of the kind`, async () => {
        const w = world();
        const { mapping, filtering } = await judge(w, w.net.host({ behind: w.net.nat(kind) }), protocol);
        const rules = NAT_KINDS[kind];
        if (rules.blockUdp && protocol === 'udp') assert.deepEqual([mapping, filtering], ['blocked', 'blocked']);
        // Only the first of the helper's ports can be reached, so the second cannot be compared.
        else if (kind === '443-only') assert.equal(filtering, 'address-and-port-dependent');
        else assert.deepEqual([mapping, filtering], [rules.mapping, rules.filtering]);
      });
    }
  }

  it('every mapping with every filtering and every choice of ports gives the verdict of theory', async () => {
    for (const mapping of DEPENDENCES) {
      for (const filtering of DEPENDENCES) {
        for (const ports of PORTS) {
          for (const protocol of ['udp', 'tcp'] as const) {
            const w = world();
            const nat = w.net.nat('port', { mapping, filtering, ports });
            const verdict = await judge(w, w.net.host({ behind: nat }), protocol);
            const what = `${protocol} ${mapping} ${filtering} ${ports}`;
            assert.deepEqual([verdict.mapping, verdict.filtering], [mapping, filtering], what);
          }
        }
      }
    }
  });

  it('ports: those of the host, one after the other, or at random', async () => {
    for (const ports of PORTS) {
      const w = world();
      const nat = w.net.nat('random', { ports });
      const host = w.net.host({ behind: nat });
      const seen = (await judge(w, host, 'udp')).ports;
      const steps = seen.slice(1).map((port, i) => port - seen[i]!);
      if (ports === 'preserve') assert.equal(seen[0], 49_152);
      else assert.notEqual(seen[0], 49_152);
      if (ports === 'sequential') assert.deepEqual(steps, [1, 1]);
      if (ports === 'random')
        assert.ok(
          steps.every((step) => Math.abs(step) > 1),
          String(seen),
        );
    }
  });

  it('443-only lets TCP to port 443 through and nothing else', async () => {
    const w = world();
    const host = w.net.host({ behind: w.net.nat('443-only') });
    const tcp = await judge(w, host, 'tcp');
    assert.deepEqual([tcp.ports[0] !== 0, tcp.ports[1]], [true, 0]);
    assert.equal((await judge(w, host, 'udp')).mapping, 'blocked');
  });
});
