/** Routers that behave oddly or badly. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPortMapper } from '../../src/nat/index.ts';
import { external, home, outcomes } from '../support/mapper-world.ts';

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
      assert.equal(typeof mapping.external?.port, 'number', mapping.reason ?? '');
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

  it('IGD 1 is not asked for what only IGD 2 knows', async () => {
    const { router, map, close } = await home({ ...only, upnp: 1 });
    await map();
    assert.deepEqual(
      router.log.filter((line) => line.startsWith('upnp')),
      ['upnp description', 'upnp GetExternalIPAddress', 'upnp AddPortMapping'],
    );
    await close();
    const second = await home(only);
    await second.map();
    assert.equal(second.router.log.at(-1), 'upnp AddAnyPortMapping');
    await second.close();
  });

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
    const { world, nat, router, map, close } = await home({ ...only, upnp: 1 });
    const mapping = await map();
    assert.equal(mapping.external?.port, 5000);
    await world.run(router.restart());
    const { network, realm } = world.net.host({ behind: nat });
    const faster = openPortMapper({ network, realm });
    const other = faster.map({ protocol: 'udp', internalPort: 5000 });
    await world.run(other.ready);
    assert.equal(other.external?.port, 5000);
    await world.advance(700_000);
    assert.equal(typeof mapping.external?.port, 'number', mapping.reason ?? '');
    assert.notEqual(mapping.external?.port, 5000);
    assert.equal(router.mappings.size, 2);
    await world.run(faster.close());
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
      const { world, mapper, map, close } = await home({ ...only, oddities: { location } });
      const mapping = await map();
      await world.advance(4000);
      assert.equal(external(mapping), undefined);
      if (location.startsWith('http://1')) assert.ok(mapper.report.foreignAnswers > 0);
      assert.ok(world.trace.length > 0 && world.trace.every((line) => !line.includes('tcp ')));
      await close();
    }
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
    assert.equal(external(mapping), undefined);
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
});
