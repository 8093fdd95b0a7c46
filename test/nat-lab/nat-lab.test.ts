/** The kernel's NATs and firewalls: they are what the virtual ones are, and what others and our own reports say of them. */

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { NatReport } from '../../src/nat/index.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { KINDS } from '../support/nat-matrix.ts';
import { type NatVerdict, openTcpHelpers, openUdpHelpers, probeTcp, probeUdp } from '../support/nat-probe.ts';
import { whyNoLab } from './enter.ts';
import { runInLab } from './run.ts';
import type { Scenario } from './scenario.ts';

const scenarios = path.join(import.meta.dirname, 'scenarios.ts');

/** What the same probe says of a virtual NAT of this kind. */
async function virtualVerdict(kind: NatKind, protocol: 'udp' | 'tcp'): Promise<NatVerdict> {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const net = createVirtualInternet({ realm, seed: 1 });
  const places = [net.host(), net.host()].map(({ network, ip }) => ({ network, ip, ports: [443, 3479] }));
  const host = net.host({ behind: net.nat(kind) });
  return realm.clock.run(
    (async () => {
      const helpers = await (protocol === 'udp' ? openUdpHelpers(places) : openTcpHelpers(places));
      return protocol === 'udp'
        ? probeUdp(host.network, host.realm, helpers)
        : probeTcp(host.network, host.realm, helpers, 20_000);
    })(),
  );
}

/** The scenarios of a name. Programs that CI could have installed may not be missing. */
function found<N extends Scenario['name']>(
  all: readonly Scenario[],
  name: N,
): readonly (Scenario & { readonly name: N })[] {
  return all.filter((one): one is Scenario & { readonly name: N } => one.name === name);
}

async function assertSameVerdicts(all: readonly Scenario[]): Promise<void> {
  const verdicts = found(all, 'verdict');
  assert.equal(verdicts.length, 2 * KINDS.length);
  for (const { kind, protocol, verdict } of verdicts) {
    const expected = await virtualVerdict(kind as NatKind, protocol);
    const shown = ({ mapping, filtering }: NatVerdict): unknown => [kind, protocol, mapping, filtering];
    assert.deepEqual(shown(verdict), shown(expected));
  }
}

const skip = whyNoLab();

describe('the lab of the kernel', { skip }, () => {
  const all: Scenario[] = [];
  /** Groups of scenarios are run when a test needs them, so that the tests tell of each. */
  const ran = new Map<string, Promise<void>>();
  const need = (group: string): Promise<void> => {
    const running = ran.get(group) ?? runInLab<Scenario>(scenarios, [group]).then((found) => void all.push(...found));
    ran.set(group, running);
    return running;
  };

  const missing = (...programs: readonly string[]): string | false => {
    const gone = found(all, 'missing').filter(({ what }) => programs.some((program) => what.includes(program)));
    if (gone.length === 0) return false;
    assert.notEqual(process.env['CI'], 'true', `.ci/run installs ${programs.join(' and ')}`);
    return `${programs.join(' and ')} not installed`;
  };

  it('every kind of NAT gives the verdict of the virtual one, over UDP and TCP', async () => {
    await need('kinds');
    await assertSameVerdicts(all);
  });

  it('the ports of the sequential NAT follow each other, those of the random one do not', async () => {
    await need('kinds');
    for (const protocol of ['udp', 'tcp'] as const) {
      const steps = (kind: string): readonly number[] => {
        const { ports } = found(all, 'verdict').find((one) => one.kind === kind && one.protocol === protocol)!.verdict;
        return ports.slice(1).map((port, i) => port - ports[i]!);
      };
      assert.deepEqual(steps('sequential'), [1, 1]);
      assert.notDeepEqual(steps('random'), [1, 1]);
    }
  });

  it('a report from behind a NAT says what it is', async () => {
    await need('reports');
    const reports = new Map(found(all, 'report').map(({ kind, report }) => [kind, report]));
    const udp = (kind: string): NatReport['paths'][number] => reports.get(kind)!.paths[0]!;
    for (const [kind, mapping, filtering] of [
      ['open', 'none', 'endpoint-independent'],
      ['full', 'endpoint-independent', 'endpoint-independent'],
      ['address', 'endpoint-independent', 'address-dependent'],
      ['port', 'endpoint-independent', 'address-and-port-dependent'],
      ['sequential', 'address-and-port-dependent', 'address-and-port-dependent'],
      ['random', 'address-and-port-dependent', 'address-and-port-dependent'],
      ['hairpin', 'endpoint-independent', 'endpoint-independent'],
      ['double', 'endpoint-independent', 'address-and-port-dependent'],
    ] as const) {
      const { mapping: found, filtering: filters } = udp(kind);
      assert.deepEqual(
        [kind, found?.behavior, found?.certainty, filters?.behavior, filters?.certainty],
        [kind, mapping, 'proven', filtering, 'proven'],
      );
    }
    assert.deepEqual([udp('hairpin').hairpin, udp('full').hairpin], [true, false]);
    assert.equal(udp('random').mapping?.ports, 'random');
    assert.equal(udp('udp-blocked').address, undefined);
    assert.match(reports.get('udp-blocked')!.summary[0]!, /UDP is blocked/);
    assert.match(reports.get('443-only')!.summary[0]!, /no observer answered/);
  });

  it('stun-client agrees about our observer', async (t) => {
    await need('programs');
    const why = missing('stun');
    if (why !== false) return t.skip(why);
    for (const [kind, says] of [
      ['full', /Independent Mapping, Independent Filter/],
      ['address', /Independent Mapping, Address Dependent Filter/],
      ['port', /Independent Mapping, Port Dependent Filter/],
      ['random', /Dependent Mapping, random port/],
    ] as const) {
      const said = found(all, 'program').find((one) => one.program === 'stun' && one.kind === kind)!.said;
      assert.match(said, says);
    }
    return undefined;
  });

  it("coturn's tool agrees about our observer", async (t) => {
    await need('programs');
    const why = missing('turnutils_natdiscovery');
    if (why !== false) return t.skip(why);
    for (const [kind, mapping, filtering] of [
      ['full', /NAT with Endpoint Independent Mapping/, /NAT with Endpoint Independent Filtering/],
      ['address', /NAT with Endpoint Independent Mapping/, /NAT with Address Dependent Filtering/],
      ['port', /NAT with Endpoint Independent Mapping/, /NAT with Address and Port Dependent Filtering/],
      ['random', /NAT with Address and Port Dependent Mapping/, /NAT with Address and Port Dependent Filtering/],
    ] as const) {
      const { said } = found(all, 'program').find((one) => one.program !== 'stun' && one.kind === kind)!;
      assert.match(said, mapping, kind);
      assert.match(said, filtering, kind);
    }
    return undefined;
  });

  it('coturn tells us the address of the NAT, over UDP and TCP', async (t) => {
    await need('coturn');
    const why = missing('turnserver');
    if (why !== false) return t.skip(why);
    const [{ udp, tcp }] = found(all, 'coturn') as [Scenario & { readonly name: 'coturn' }];
    assert.deepEqual([udp.ip, tcp.ip], ['203.0.113.22', '203.0.113.22']);
    return undefined;
  });

  it('two peers behind NATs with random ports ask over QUIC through coturn, over UDP and TCP, with both kinds of credentials', async (t) => {
    await need('turn');
    const why = missing('turnserver');
    if (why !== false) return t.skip(why);
    const made = found(all, 'turn');
    assert.deepEqual(
      made.map(({ mode, transport, answers, bytes, mapped }) => [mode, transport, answers, bytes, mapped?.ip]),
      [
        ['static', 'udp', 20, 60_000, '203.0.113.24'],
        ['static', 'tcp', 20, 60_000, '203.0.113.24'],
        ['rest', 'udp', 20, 60_000, '203.0.113.24'],
        ['rest', 'tcp', 20, 60_000, '203.0.113.24'],
      ],
    );
    return undefined;
  });

  it('two IPv6 firewalls let through what both sides send, and nothing when one side is silent', async () => {
    await need('ipv6');
    const [{ both, one }] = found(all, 'ipv6') as [Scenario & { readonly name: 'ipv6' }];
    assert.ok(
      both.every((heard) => heard > 0),
      String(both),
    );
    assert.deepEqual(one, [0, 0]);
  });

  it('a NAT that starts again gives other ports', async (t) => {
    await need('kinds');
    const why = missing('conntrack');
    if (why !== false) return t.skip(why);
    const [{ before: earlier, after: later }] = found(all, 'reboot') as [Scenario & { readonly name: 'reboot' }];
    assert.notDeepEqual(earlier.ports, later.ports);
    return undefined;
  });

  it('a router with miniupnpd maps ports by UPnP and NAT-PMP', async (t) => {
    await need('gateway');
    const why = missing('miniupnpd', 'upnpc', 'natpmpc');
    if (why !== false) return t.skip(why);
    const [{ upnp, pmp }] = found(all, 'gateway') as [Scenario & { readonly name: 'gateway' }];
    assert.match(upnp, /ExternalIPAddress = 11\.22\.33\.1/);
    assert.match(pmp, /Mapped public port 5001 protocol UDP to local port 5001/);
    return undefined;
  });

  it('a cable of 25 ms takes 50 ms for both ways', async (t) => {
    await need('wire');
    const why = found(all, 'wire').length > 0 ? false : 'TAP devices cannot be had here';
    if (why !== false) return t.skip(why);
    const [{ rttMs }] = found(all, 'wire') as [Scenario & { readonly name: 'wire' }];
    assert.ok(rttMs >= 50, `${rttMs} ms`);
    return undefined;
  });

  /** Whether theory lets two kinds through to each other. */
  const isPossible = (protocol: 'udp' | 'tcp', a: string, b: string): boolean => {
    const [left, right] = [a, b].map((kind) => (protocol === 'tcp' && kind === 'udp-blocked' ? 'port' : kind)) as [
      string,
      string,
    ];
    if ([left, right].some((kind) => kind === 'udp-blocked' || kind === '443-only')) return false;
    const hard = [left, right].filter((kind) => kind === 'random' || kind === 'sequential');
    if (!hard.includes('random')) return true;
    // Over UDP many ports are tried; over TCP a peer that filters by port is out of reach.
    return hard.length === 1 && (protocol === 'udp' || (left !== 'port' && right !== 'port'));
  };

  for (const protocol of ['udp', 'tcp'] as const) {
    it(`our puncher gets through every pair of NATs that can be crossed over ${protocol}, and no other`, async () => {
      await need(protocol === 'udp' ? 'punchUdp' : 'punchTcp');
      const pairs = found(all, 'punch').filter((one) => one.protocol === protocol && !one.pair.b.startsWith('far-'));
      assert.equal(pairs.length, KINDS.length ** 2);
      for (const { pair } of pairs) {
        const b = pair.b.replace(/-b$/, '');
        const name = `${pair.a} to ${b}: ${pair.why ?? ''}`;
        if (isPossible(protocol, pair.a, b))
          assert.deepEqual(pair.heard, ['through the hole', 'through the hole'], name);
        else assert.ok(pair.why !== undefined, name);
        if ([pair.a, b].every((kind) => kind === 'random')) assert.match(pair.why!, /only a relay can work/);
      }
    });
  }

  it('our puncher finds one of few random ports soon, and gets out through two NATs', async () => {
    await need('punchPlaces');
    const pairs = found(all, 'punch').filter(({ pair }) => pair.b.startsWith('far-'));
    assert.equal(pairs.length, 4);
    for (const { pair } of pairs) {
      assert.deepEqual(pair.heard, ['through the hole', 'through the hole'], `${pair.a} to ${pair.b}: ${pair.why}`);
      assert.ok(pair.probes! <= 300, `${pair.a} to ${pair.b}: ${pair.probes} probes`);
    }
  });
});

/** Another user than root, where this is root and that user can read the checkout and run this Node. */
function whyNotAsNobody(): string | false {
  if (skip !== false) return skip;
  if (process.getuid?.() !== 0) return 'this is another user than root already';
  for (const file of [scenarios, process.execPath]) {
    for (let part = file; part !== '/'; part = path.dirname(part)) {
      // The mode and not access(2): access is never refused to root.
      const needed = part === scenarios ? 0o004 : 0o005;
      if ((statSync(part).mode & needed) !== needed) return `another user cannot use ${part}`;
    }
  }
  return whyNoLab('65534');
}

describe('the lab of the kernel without rights', { skip: whyNotAsNobody() }, () => {
  it('every kind of NAT gives the verdict of the virtual one, over UDP and TCP', async () =>
    assertSameVerdicts(await runInLab<Scenario>(scenarios, ['kinds'], '65534')));
});
