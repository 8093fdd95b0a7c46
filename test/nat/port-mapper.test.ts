/** Ports mapped on virtual routers, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../src/base/bytes.ts';
import { openPortMapper, type PortMapper, type PortMapping } from '../../src/nat/index.ts';
import { type VirtualHost } from '../../src/net/virtual/types.ts';
import { type NatKind } from '../../src/net/virtual/nat-rules.ts';
import { VirtualWorld } from '../support/virtual-world.ts';
import { virtualRouter, type VirtualRouterOptions } from '../support/virtual-router.ts';

type RouterOptions = Omit<VirtualRouterOptions, 'realm'>;

/** A host behind a router, and one outside. */
async function home(options: RouterOptions = {}, kind: NatKind = 'port', ipv6 = false) {
  const world = new VirtualWorld({ ipv6 });
  const nat = world.net.nat(kind);
  const router = await virtualRouter(nat, { realm: world.realm, ipv6, ...options });
  const host = world.net.host({ behind: nat });
  const stranger = world.net.host();
  const { network, realm } = host;
  const mapper = openPortMapper({ network, realm });
  const map = async (internalPort = 5000, protocol: 'udp' | 'tcp' = 'udp', more = {}): Promise<PortMapping> => {
    const mapping = mapper.map({ protocol, internalPort, ...more });
    await world.run(mapping.ready);
    return mapping;
  };
  return { world, nat, router, host, stranger, mapper, map, close: () => world.run(mapper.close()) };
}

const external = ({ external: at }: PortMapping): string | undefined => at && `${at.ip}:${at.port}`;
const outcomes = ({ report }: PortMapper): readonly (readonly string[])[] =>
  report.gateways.map(({ protocols }) => protocols.map(({ via, outcome }) => `${via} ${outcome}`));

/** Whether a datagram from outside arrives. */
async function arrives(
  world: VirtualWorld,
  from: VirtualHost,
  at: VirtualHost,
  port: number,
  to: PortMapping,
): Promise<boolean> {
  const inside = await world.ear(at, port);
  const outside = await world.ear(from);
  if (to.external !== undefined) outside.say('knock', to.external);
  await world.advance(200);
  await Promise.all([inside.socket.close(), outside.socket.close()]);
  return inside.heard.some((line) => line.startsWith('knock'));
}

describe('a port on a router', () => {
  for (const [via, options] of [
    ['pcp', { natPmp: false, upnp: false }],
    ['nat-pmp', { pcp: false, upnp: false }],
    ['upnp', { pcp: false, natPmp: false }],
    ['upnp', { pcp: false, natPmp: false, upnp: 1 }],
  ] as const satisfies readonly (readonly [string, RouterOptions])[]) {
    it(`is mapped by ${via}${'upnp' in options && options.upnp === 1 ? ' of IGD 1' : ''}, lets strangers in, and is removed at close`, async () => {
      const { world, nat, router, host, stranger, map, close } = await home(options);
      const mapping = await map();
      assert.deepEqual([mapping.via, external(mapping), mapping.reason], [via, `${nat.ip}:5000`, undefined]);
      assert.equal(mapping.doubleNat, false);
      assert.equal(await arrives(world, stranger, host, 5000, mapping), true);
      assert.equal(router.mappings.size, 1);
      const tcp = await map(5001, 'tcp');
      assert.equal(external(tcp), `${nat.ip}:5001`);
      assert.deepEqual([...router.mappings.keys()], ['udp 5000', 'tcp 5001']);
      await world.run(tcp.close());
      assert.deepEqual([...router.mappings.keys()], ['udp 5000']);
      assert.equal(tcp.reason, 'The mapping is closed');
      await close();
      assert.equal(router.mappings.size, 0);
      assert.equal(mapping.external, undefined);
    });
  }

  it('is not reached without a mapping', async () => {
    const { world, host, stranger, map, close } = await home({ pcp: false, natPmp: false, upnp: false });
    const mapping = await map();
    assert.equal(await arrives(world, stranger, host, 5000, mapping), false);
    await close();
  });

  it('is kept as long as one of those who asked for it has it', async () => {
    const { world, router, mapper, map, close } = await home();
    const [one, other] = [await map(), await map()];
    assert.deepEqual(external(one), external(other));
    await world.run(one.close());
    assert.equal(router.mappings.size, 1);
    assert.notEqual(other.external, undefined);
    await world.run(other.close());
    assert.equal(router.mappings.size, 0);
    assert.equal((await map()).external?.port, 5000);
    assert.deepEqual(outcomes(mapper), [['pcp found', 'nat-pmp found', 'upnp found']]);
    await close();
  });

  it('is closed by the signal of its request', async () => {
    const { world, router, mapper, close } = await home();
    const aborting = new AbortController();
    const mapping = mapper.map({ protocol: 'udp', internalPort: 5000 }, { signal: aborting.signal });
    await world.run(mapping.ready);
    aborting.abort();
    await world.advance(1000);
    assert.equal(router.mappings.size, 0);
    await close();
  });

  it('gets another port outside where a host has it', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { nat, map, close } = await home({ ...options, oddities: { takenPorts: [5000] } });
      const mapping = await map();
      assert.deepEqual([mapping.external?.ip, mapping.external?.port !== 5000], [nat.ip, true]);
      await close();
    }
  });
});

describe('verdicts', () => {
  it('PCP before NAT-PMP before UPnP of those that answer within 250 ms', async () => {
    for (const [answerMs, via] of [
      [{ pcp: 0, natPmp: 0, upnp: 0 }, 'pcp'],
      [{ pcp: 240, natPmp: 0, upnp: 0 }, 'pcp'],
      [{ pcp: 600, natPmp: 240, upnp: 0 }, 'nat-pmp'],
      [{ pcp: 600, natPmp: 600, upnp: 20 }, 'upnp'],
    ] as const) {
      const { world, map, close } = await home({ answerMs });
      const mapping = await map();
      assert.equal(mapping.via, via);
      assert.ok(world.realm.nowMs() >= 250);
      await close();
    }
  });

  it('comes at 250 ms where nothing answers, and the end after 3 s', async () => {
    const { world, mapper, map, close } = await home({ pcp: false, natPmp: false, upnp: false });
    const mapping = await map();
    assert.equal(world.realm.nowMs(), 250);
    assert.match(mapping.reason!, /does not answer to PCP, NAT-PMP or UPnP: enable one of them/);
    assert.deepEqual(outcomes(mapper), [['pcp probing', 'nat-pmp probing', 'upnp probing']]);
    await world.advance(3000);
    assert.deepEqual(outcomes(mapper), [['pcp absent', 'nat-pmp absent', 'upnp absent']]);
    await close();
  });

  it('an answer up to 3 s late replaces none', async () => {
    for (const [answerMs, via] of [
      [{ pcp: 2900, natPmp: 1e6, upnp: 1e6 }, 'pcp'],
      [{ pcp: 1e6, natPmp: 2900, upnp: 1e6 }, 'nat-pmp'],
      [{ pcp: 1e6, natPmp: 1e6, upnp: 700 }, 'upnp'],
    ] as const) {
      const { world, map, close } = await home({ answerMs });
      const mapping = await map();
      assert.equal(mapping.external, undefined);
      let changes = 0;
      mapping.onChange(() => changes++);
      await world.advance(9000);
      assert.deepEqual([mapping.via, mapping.external?.port, changes], [via, 5000, 1]);
      await close();
    }
  });

  it('one at 3 s at the latest, whatever a router does', async () => {
    const { world, map, close } = await home({
      answerMs: { pcp: 240, natPmp: 1e6, upnp: 1e6 },
      oddities: { wrongNonce: true },
    });
    await map();
    assert.equal(world.realm.nowMs(), 3000);
    await close();
  });

  it('what the first protocol refuses, the next one maps', async () => {
    const { map, close } = await home({ oddities: { pcpResults: [2] } });
    assert.equal((await map()).via, 'nat-pmp');
    await close();
    const second = await home({ oddities: { pcpResults: [8], natPmpResults: [4] } });
    assert.equal((await second.map()).via, 'upnp');
    await second.close();
  });

  it('says what a router refused', async () => {
    for (const [result, says] of [
      [2, /refuses to map this port \(NOT_AUTHORIZED\)/],
      [8, /no room for another mapping \(NO_RESOURCES\)/],
      [7, /no public address of its own \(NETWORK_FAILURE\): it is offline, or behind another NAT/],
      [11, /other uses for the ports/],
      [99, /failed \(result 99\)/],
    ] as const) {
      const { map, close } = await home({ natPmp: false, upnp: false, oddities: { pcpResults: [result] } });
      assert.match((await map()).reason!, says);
      await close();
    }
  });

  it('there is a reason without a router, and one comes with the router', async () => {
    const { world, host, mapper, map, close, nat } = await home();
    host.move({ behind: world.net.lan() });
    const mapping = await map();
    assert.match(mapping.reason!, /does not answer|no router/);
    host.move({ behind: nat });
    await world.advance(1000);
    assert.equal(mapping.external?.ip, nat.ip);
    assert.equal(mapper.report.foreignAnswers, 0);
    await close();
  });
});

describe('a mapping lives', () => {
  it('is renewed at half its lifetime, by each protocol', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { world, router, map, close } = await home(options);
      const mapping = await map(5000, 'udp', { lifetimeMs: 120_000 });
      const first = mapping.expiresMs!;
      await world.advance(59_000);
      assert.equal(mapping.expiresMs, first);
      await world.advance(17_000);
      assert.ok(mapping.expiresMs! > first, `renewed between 1/2 and 5/8 by ${mapping.via}`);
      for (let i = 0; i < 20; i++) {
        await world.advance(60_000);
        assert.equal(router.mappings.size, 1);
      }
      assert.equal(mapping.external?.port, 5000);
      await close();
    }
  });

  it('keeps its nonce for its whole life', async () => {
    const { world, router, map, close } = await home({ natPmp: false, upnp: false });
    await map(5000, 'udp', { lifetimeMs: 120_000 });
    const { nonce } = router.mappings.get('udp 5000')!;
    await world.advance(600_000);
    await world.run(router.restart());
    await world.advance(1000);
    assert.equal(router.mappings.get('udp 5000')!.nonce, nonce);
    await close();
  });

  it('is made again within a second of an announced restart, by each protocol of datagrams', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
    ] as const) {
      const { world, router, map, close, host, stranger } = await home(options);
      const mapping = await map();
      await world.advance(100_000);
      await world.run(router.restart(30_000));
      assert.equal(router.mappings.size, 0);
      await world.advance(1000);
      assert.equal(router.mappings.size, 1);
      assert.equal(await arrives(world, stranger, host, 5000, mapping), true);
      await close();
    }
  });

  it('a restart that was not announced is noticed by the epoch, or by looking for the mapping', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { world, router, map, close } = await home({ ...options, oddities: { silentRestart: true } });
      await map();
      await map(5001, 'tcp');
      await world.advance(100_000);
      await world.run(router.restart());
      await world.advance(600_000);
      assert.deepEqual([...router.mappings.keys()].toSorted(), ['tcp 5001', 'udp 5000']);
      await close();
    }
  });

  it('a router that was away comes back', async () => {
    const { world, router, map, close } = await home({ natPmp: false, upnp: false, answerMs: 0 });
    const mapping = await map(5000, 'udp', { lifetimeMs: 60_000 });
    const restarting = router.restart(120_000);
    await world.advance(100_000);
    assert.equal(mapping.external, undefined);
    assert.match(mapping.reason!, /does not answer/);
    await world.run(restarting);
    await world.advance(1000);
    assert.equal(mapping.external?.port, 5000);
    await close();
  });

  it('NO_RESOURCES at a renewal is no end: the same nonce again, then another one', async () => {
    const results: number[] = [];
    const { world, router, map, close } = await home({ natPmp: false, upnp: false, oddities: { pcpResults: results } });
    const mapping = await map(5000, 'udp', { lifetimeMs: 100_000 });
    const first = router.mappings.get('udp 5000')!.nonce;
    results.push(8);
    await world.advance(85_000);
    assert.equal(mapping.external?.port, 5000);
    assert.equal(router.mappings.get('udp 5000')!.nonce, first, 'the second request had the same nonce');
    // Until it has run out the router has it under the old nonce.
    results.push(8, 8);
    await world.advance(300_000);
    assert.equal(mapping.external?.port, 5000);
    assert.notEqual(router.mappings.get('udp 5000')!.nonce, first);
    await close();
  });

  it('goes to the new network with the host', async () => {
    const { world, host, map, close } = await home();
    const mapping = await map();
    const other = world.net.nat('port', { subnet: '192.168.77.0/24' });
    const router = await virtualRouter(other, { realm: world.realm, pcp: false, natPmp: false });
    host.move({ behind: other });
    await world.advance(1000);
    assert.deepEqual([mapping.external?.ip, mapping.via], [other.ip, 'upnp']);
    assert.equal(router.mappings.size, 1);
    await close();
  });

  it('a network with the same addresses is another one', async () => {
    const { world, host, map, close } = await home({ pcp: false, upnp: false });
    const mapping = await map();
    await world.advance(100_000);
    const other = world.net.nat('port');
    const router = await virtualRouter(other, { realm: world.realm, pcp: false, upnp: false });
    host.move({ behind: other });
    await world.advance(1000);
    assert.deepEqual([router.mappings.size, mapping.external?.ip], [1, other.ip]);
    await close();
  });

  it("follows the router's address", async () => {
    const { world, nat, router, map, close } = await home({ pcp: false, upnp: false });
    const mapping = await map();
    const before = mapping.external!.ip;
    nat.renumber();
    await world.run(router.restart());
    await world.advance(1000);
    assert.notEqual(mapping.external!.ip, before);
    assert.equal(mapping.external!.ip, nat.ip);
    await close();
  });
});

describe('closing', () => {
  it('ends within a second when the router is silent', async () => {
    const { world, router, mapper, map } = await home();
    await map();
    void router.restart(1e6);
    const begun = world.realm.nowMs();
    await world.run(mapper.close());
    assert.ok(world.realm.nowMs() - begun <= 1000);
    const late = mapper.map({ protocol: 'udp', internalPort: 5000 });
    await late.ready;
    assert.equal(late.reason, 'The port mapper is closed');
    await late.close();
  });

  it('removes what a router had not confirmed yet', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { world, router, mapper } = await home({ ...options, answerMs: 30 });
      const mapping = mapper.map({ protocol: 'udp', internalPort: 5000 });
      await world.advance(310);
      assert.equal(mapping.external, undefined);
      await world.run(mapper.close());
      await world.advance(1000);
      assert.equal(router.mappings.size, 0, mapping.reason);
    }
  });

  it('the signal of the mapper closes it', async () => {
    const { world, router, host } = await home();
    const aborting = new AbortController();
    const { network, realm } = host;
    const mapper = openPortMapper({ network, realm, signal: aborting.signal });
    await world.run(mapper.map({ protocol: 'udp', internalPort: 7000 }).ready);
    assert.equal(router.mappings.size, 1);
    aborting.abort();
    await world.advance(1000);
    assert.equal(router.mappings.size, 0);
  });

  it('nothing is sent before the first request', async () => {
    const { world, host, mapper } = await home();
    await world.advance(10_000);
    assert.equal(host.counters.sent, 0);
    await world.run(mapper.close());
  });
});

describe('behind two NATs', () => {
  it('says so for private and shared addresses, and for one that others do not see', async () => {
    for (const [externalIp, observed, says] of [
      ['192.168.7.2', undefined, /private one: it is behind another NAT/],
      ['100.64.3.4', undefined, /NAT of the provider \(CGNAT\)/],
      ['11.9.9.9', '11.8.8.8', /others see this host as 11\.8\.8\.8: there is another NAT/],
    ] as const) {
      const { world, host, router } = await home({ externalIp });
      const { network, realm } = host;
      const mapper = openPortMapper({ network, realm, observed: () => observed });
      const mapping = mapper.map({ protocol: 'udp', internalPort: 5000 });
      await world.run(mapping.ready);
      assert.equal(mapping.doubleNat, true);
      assert.match(mapping.reason!, says);
      assert.equal(mapping.external?.ip, externalIp);
      await world.run(mapper.close());
      assert.equal(router.mappings.size, 0);
    }
  });

  it('a real second NAT is told apart', async () => {
    const world = new VirtualWorld();
    const above = world.net.nat('port');
    const below = world.net.nat('port', { behind: above });
    await virtualRouter(below, { realm: world.realm });
    const { network, realm } = world.net.host({ behind: below });
    const mapper = openPortMapper({ network, realm });
    const mapping = mapper.map({ protocol: 'udp', internalPort: 5000 });
    await world.run(mapping.ready);
    assert.deepEqual([mapping.doubleNat, mapping.external?.ip], [true, below.ip]);
    await world.run(mapper.close());
  });
});

describe('oddities of UPnP', () => {
  const only = { pcp: false, natPmp: false } as const;

  it('a router that leases only for ever gets lease 0, and the mapping goes at close', async () => {
    const { world, router, map, close } = await home({ ...only, oddities: { onlyPermanentLeases: true } });
    const mapping = await map();
    assert.equal(mapping.expiresMs, Infinity);
    assert.equal(router.mappings.get('udp 5000')!.lifetime, 0);
    await world.advance(3_600_000);
    await world.run(router.restart());
    await world.advance(660_000);
    assert.equal(router.mappings.size, 1, 'made again after a restart');
    await close();
    assert.equal(router.mappings.size, 0);
  });

  for (const [what, upnp, oddities] of [
    ['718, twice', 1, { faults: { AddPortMapping: [718, 718] } }],
    ['729', 2, { faults: { AddAnyPortMapping: [729] } }],
    ['501 to AddAnyPortMapping', 2, { faults: { AddAnyPortMapping: [501] } }],
    ['402 to leases', 1, { faults: { AddPortMapping: [402, 402] } }],
    ['a description of version 2 with a service of version 1', 2, { urnVersion: 1 }],
    ['a description of version 1 with a service of version 2', 1, { urnVersion: 2 }],
    ['724', 1, { samePorts: true }],
    ['chunks', 2, { chunked: true }],
    ['an absolute control URL', 2, { controlUrl: 'http://192.168.1.1:5000/ctl' }],
    ['a relative control URL', 2, { controlUrl: 'ctl' }],
  ] as const) {
    it(`maps in spite of ${what}`, async () => {
      const { router, map, close } = await home({ ...only, upnp, oddities });
      const mapping = await map(5000, 'udp', what === '724' ? { externalPort: 6000 } : {});
      assert.notEqual(mapping.external, undefined, mapping.reason);
      assert.equal(router.mappings.size, 1);
      await close();
      assert.equal(router.mappings.size, 0);
    });
  }

  for (const [code, says] of [
    [606, /refuses to map this port \(606 E606\)/],
    [726, /cannot map this \(726 E726\)/],
    [727, /cannot map this \(727 E727\)/],
    [728, /no room for another mapping/],
  ] as const) {
    it(`says what ${code} means`, async () => {
      const faults = { AddPortMapping: [code], AddAnyPortMapping: [code] };
      const { map, close } = await home({ ...only, oddities: { faults } });
      assert.match((await map()).reason!, says);
      await close();
    });
  }

  it('a low port outside that is refused becomes another one', async () => {
    const { map, close } = await home(only);
    const mapping = await map(5000, 'tcp', { externalPort: 443 });
    assert.ok(mapping.external!.port >= 1024);
    await close();
  });

  it('ends with a reason where all tries fail', async () => {
    const many = Array.from({ length: 100 }, () => 501);
    const { router, map, close } = await home({
      ...only,
      oddities: { faults: { AddPortMapping: many, AddAnyPortMapping: many } },
    });
    assert.match((await map()).reason!, /failed \(501 E501\)/);
    assert.ok(router.log.filter((line) => line.includes('Mapping')).length <= 12);
    await close();
  });

  it('a mapping that another host has taken meanwhile is made on another port', async () => {
    const { world, router, host, map, close } = await home({ ...only, upnp: 1 });
    const mapping = await map(5000, 'udp', { lifetimeMs: 600_000 });
    await world.run(router.restart());
    const { network } = host;
    const socket = await network
      .dial({ remote: { ip: '192.168.1.1', port: 5000 }, signal: new AbortController().signal })
      .catch(() => undefined);
    socket?.pipe.destroy();
    await world.advance(700_000);
    assert.notEqual(mapping.external, undefined);
    await close();
  });
});

describe('IPv6 pinholes', () => {
  for (const [via, options] of [
    ['pcp', { upnp: false, natPmp: false }],
    ['upnp', { pcp: false, natPmp: false }],
  ] as const) {
    it(`are opened by ${via}, from the address to be opened, and closed again`, async () => {
      const { world, router, host, stranger, map, close } = await home(options, 'port', true);
      const own = host.ips.find((ip) => ip.includes(':') && !ip.startsWith('fe80'))!;
      const none = await world.ear(host, 6000, { ip: own });
      const outside = await world.ear(stranger);
      outside.say('before', { ip: own, port: 6000 });
      await world.advance(200);
      assert.deepEqual(none.heard, []);
      await none.socket.close();
      const mapping = await map(6000, 'udp', { family: 6, lifetimeMs: 60_000 });
      assert.deepEqual([mapping.via, mapping.external, mapping.doubleNat], [via, { ip: own, port: 6000 }, false]);
      assert.equal(await arrives(world, stranger, host, 6000, mapping), true);
      await world.advance(300_000);
      assert.equal(router.mappings.size, 1, 'renewed');
      await world.run(router.restart());
      await world.advance(60_000);
      assert.equal(router.mappings.size, 1, 'made again');
      await close();
      assert.equal(router.mappings.size, 0);
    });
  }

  it('a router without a firewall to open says why', async () => {
    const { map, close } = await home({ pcp: false }, 'port', true);
    const mapping = await map(6000, 'udp', { family: 6 });
    assert.equal(mapping.external, undefined);
    assert.notEqual(mapping.reason, undefined);
    await close();
  });
});

describe('hostile routers and hosts', () => {
  const only = { pcp: false, natPmp: false } as const;

  it('an answer to a search that names another host is ignored and counted', async () => {
    for (const location of [
      'http://192.168.1.66:80/x',
      'http://11.0.0.9:80/x',
      'http://router.lan/x',
      'https://192.168.1.1/x',
    ]) {
      const { world, host, mapper, map, close } = await home({ ...only, oddities: { location } });
      const mapping = await map();
      await world.advance(4000);
      assert.equal(mapping.external, undefined);
      if (location.startsWith('http://1')) assert.ok(mapper.report.foreignAnswers > 0);
      assert.equal(host.counters.drops['host.no_socket'] ?? 0, 0);
      await close();
    }
  });

  it('an answer from a host that is in no network of this one is ignored and counted', async () => {
    const { world, host, stranger, mapper, map, close } = await home({ ...only, upnp: false }, 'full');
    await map();
    // A mapping of the NAT leads strangers to the socket that searches.
    const port = [...Array(3).keys()].map((i) => 49_152 + i);
    const ear = await world.ear(stranger);
    const nat = host.ip;
    assert.notEqual(nat, '');
    const answer = `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://${stranger.ip}:80/x\r\n\r\n`;
    const forged = await host.network.bindUdp({ bind: { ip: '0.0.0.0', port: 0 } });
    forged.send(encodeText('out'), stranger.ip, ear.socket.address.port);
    await forged.close();
    for (const each of port) ear.socket.send(encodeText(answer), host.ip, each);
    await world.advance(1000);
    assert.equal(ear.failures.length, 0);
    assert.equal(
      mapper.report.gateways.every(({ gateway }) => gateway !== stranger.ip),
      true,
    );
    await close();
  });

  it('a control URL on another host is not called', async () => {
    const { world, map, close, mapper } = await home({ ...only, oddities: { controlUrl: 'http://11.0.0.9:80/ctl' } });
    await map();
    await world.advance(4000);
    assert.deepEqual(outcomes(mapper), [['pcp absent', 'nat-pmp absent', 'upnp absent']]);
    assert.match(mapper.report.gateways[0]!.protocols[2]!.reason!, /cannot map this/);
    await close();
  });

  it('a router that sends a byte a second is given up after 3 s', async () => {
    const { world, map, close, mapper } = await home({ ...only, oddities: { dripMs: 1000 } });
    await map();
    await world.advance(3500);
    assert.match(mapper.report.gateways[0]!.protocols[2]!.reason!, /answers too slowly/);
    await close();
  });

  it('a description with a document type, too deep or too large is refused', async () => {
    const bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><root><device>&b;</device></root>';
    const deep = `${'<a>'.repeat(40)}${'</a>'.repeat(40)}`;
    const large = `<root>${'<a/>'.repeat(3000)}</root>`;
    const huge = `<root>${'x'.repeat(70_000)}</root>`;
    for (const description of [bomb, deep, large, huge, '<root>', 'nothing']) {
      const { world, map, close, mapper } = await home({ ...only, oddities: { description } });
      await map();
      await world.advance(4000);
      assert.match(mapper.report.gateways[0]!.protocols[2]!.reason!, /cannot be read/);
      await close();
    }
  });

  it('an answer with another nonce, or from another host or port, is none', async () => {
    const { world, map, close } = await home({ natPmp: false, upnp: false, oddities: { wrongNonce: true } });
    const mapping = await map();
    assert.equal(mapping.external, undefined);
    await world.advance(4000);
    assert.match(mapping.reason!, /does not answer/);
    await close();
    const second = await home({ pcp: false, natPmp: false, upnp: false });
    const liar = second.world.net.host({ behind: second.nat });
    const socket = await liar.network.bindUdp({ bind: { ip: liar.ip, port: 5351 } });
    const announcement = Uint8Array.of(0, 128, 0, 0, 0, 0, 0, 9, 11, 9, 9, 9);
    const victim = await second.map();
    for (let port = 49_152; port < 49_160; port++) socket.send(announcement, second.host.ip, port);
    socket.send(announcement, '224.0.0.1', 5350);
    await second.world.advance(1000);
    assert.equal(victim.external, undefined);
    await second.close();
  });

  it('a flood of forged restarts asks the router once a second at most', async () => {
    const { world, nat, router, map, close } = await home({ pcp: false, upnp: false });
    await map();
    await world.advance(100_000);
    const before = router.log.filter((line) => line.startsWith('nat-pmp map')).length;
    const forger = await nat.network.bindUdp({ bind: { ip: '0.0.0.0', port: 0 } });
    await forger.close();
    for (let i = 0; i < 50; i++) {
      void router.restart();
      await world.advance(100);
    }
    const asked = router.log.filter((line) => line.startsWith('nat-pmp map')).length - before;
    assert.ok(asked >= 4 && asked <= 7, `${asked} requests in 5 s`);
    await close();
  });
});

describe('misuse', () => {
  it('throws at once', async () => {
    const { mapper, host, close } = await home();
    const { network, realm } = host;
    const wrong = (call: () => unknown, error: typeof TypeError | typeof RangeError): void =>
      void assert.throws(call, error);
    wrong(() => mapper.map({ protocol: 'sctp' as 'udp', internalPort: 1 }), TypeError);
    wrong(() => mapper.map({ protocol: 'udp', internalPort: 0 }), RangeError);
    wrong(() => mapper.map({ protocol: 'udp', internalPort: 70_000 }), RangeError);
    wrong(() => mapper.map({ protocol: 'udp', internalPort: 1, lifetimeMs: 5 }), RangeError);
    wrong(() => mapper.map({ protocol: 'udp', internalPort: 1, family: 5 as 4 }), TypeError);
    wrong(() => openPortMapper({ network, realm, gateways: ['router'] }), TypeError);
    wrong(() => openPortMapper({ network, realm, protocols: [] }), TypeError);
    wrong(() => openPortMapper({ network, realm, protocols: ['igd' as 'upnp'] }), TypeError);
    wrong(() => openPortMapper({ realm, network: {} as typeof network }), TypeError);
    await close();
  });

  it('the 65th mapping says that there are 64', async () => {
    const { world, mapper, close } = await home({ upnp: false });
    const all = Array.from({ length: 65 }, (_, i) => mapper.map({ protocol: 'udp', internalPort: 5000 + i }));
    await world.run(Promise.all(all.map(({ ready }) => ready)));
    assert.match(all[64]!.reason!, /64 mappings/);
    assert.equal(all[63]!.external?.port, 5063);
    await close();
  });
});
