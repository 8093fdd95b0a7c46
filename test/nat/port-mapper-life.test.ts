/** Mappings over time: renewal, restarts of the router, changes of the network; IPv6 pinholes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { arrives, external, home } from '../support/mapper-world.ts';
import { virtualRouter } from '../support/virtual-router.ts';

describe('a mapping lives', () => {
  it('is renewed at half its lifetime, by each protocol', async () => {
    for (const options of [
      { natPmp: false, upnp: false },
      { pcp: false, upnp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { world, router, map, close } = await home(options);
      const mapping = await map(5000, 'udp', { lifetimeMs: 120_000 });
      const first = mapping.expiresMs ?? 0;
      await world.advance(59_000);
      assert.equal(mapping.expiresMs, first);
      await world.advance(17_000);
      assert.ok((mapping.expiresMs ?? 0) > first, `renewed between 1/2 and 5/8 by ${mapping.via}`);
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

  it('a UPnP router that comes back at another port is found again, with all its mappings', async () => {
    for (const silentRestart of [true, false]) {
      const { world, router, map, close } = await home({
        pcp: false,
        natPmp: false,
        oddities: { movingPort: true, silentRestart },
      });
      const mapping = await map();
      await map(5001, 'tcp');
      await world.advance(100_000);
      await world.run(router.restart());
      await world.advance(620_000);
      assert.deepEqual([...router.mappings.keys()].toSorted(), ['tcp 5001', 'udp 5000']);
      assert.equal(mapping.external?.port, 5000);
      await close();
      assert.equal(router.mappings.size, 0);
    }
  });

  it('a router that was away comes back', async () => {
    const { world, router, map, close } = await home({ natPmp: false, upnp: false, answerMs: 0 });
    const mapping = await map(5000, 'udp', { lifetimeMs: 60_000 });
    const restarting = router.restart(120_000);
    await world.advance(100_000);
    assert.equal(external(mapping), undefined);
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

  it('that a router has forgotten without a word are opened again within 10 minutes', async () => {
    for (const options of [
      { upnp: false, natPmp: false },
      { pcp: false, natPmp: false },
    ] as const) {
      const { world, router, map, close } = await home({ ...options, oddities: { silentRestart: true } }, 'port', true);
      await map(6000, 'udp', { family: 6 });
      await map(6001, 'tcp', { family: 6 });
      await world.advance(100_000);
      await world.run(router.restart());
      await world.advance(620_000);
      assert.equal(router.mappings.size, 2);
      await close();
      assert.equal(router.mappings.size, 0);
    }
  });

  it('a router without a firewall to open says why', async () => {
    const { map, close } = await home({ ipv6: false }, 'port', true);
    const mapping = await map(6000, 'udp', { family: 6 });
    assert.equal(external(mapping), undefined);
    assert.notEqual(mapping.reason, undefined);
    await close();
  });
});
