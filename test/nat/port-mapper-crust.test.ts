/** What crust did with routers. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPortMapper } from '../../src/nat/index.ts';
import { arrives, home } from '../support/mapper-world.ts';
import { virtualRouter } from '../support/virtual-router.ts';

const only = { pcp: false, natPmp: false } as const;

describe('crust: ports on routers', () => {
  it('a TCP port is mapped by UPnP on the router of each interface', async () => {
    const { world, nat, router, host, close } = await home(only);
    const other = world.net.nat('port', { subnet: '192.168.77.0/24' });
    const second = await virtualRouter(other, { realm: world.realm, ...only });
    host.attach({ behind: other });
    const { network, realm } = host;
    const mappers = ['192.168.1.1', '192.168.77.1'].map((ip) => openPortMapper({ network, realm, gateways: [ip] }));
    const mappings = mappers.map((mapper) => mapper.map({ protocol: 'tcp', internalPort: 5000 }));
    await world.run(Promise.all(mappings.map(({ ready }) => ready)));
    assert.deepEqual(
      mappings.map(({ external, via }) => [external?.ip, external?.port, via]),
      [
        [nat.ip, 5000, 'upnp'],
        [other.ip, 5000, 'upnp'],
      ],
    );
    assert.deepEqual([router.mappings.size, second.mappings.size], [1, 1]);
    await world.run(Promise.all(mappers.map((mapper) => mapper.close())));
    assert.deepEqual([router.mappings.size, second.mappings.size], [0, 0]);
    await close();
  });

  it('a UDP port that is mapped by UPnP stays mapped for days', async () => {
    const { world, router, host, stranger, map, close } = await home(only);
    const mapping = await map(5000, 'udp', { lifetimeMs: 3_600_000 });
    for (let hour = 0; hour < 72; hour++) {
      await world.advance(3_600_000);
      assert.equal(router.mappings.size, 1);
    }
    assert.equal(await arrives(world, stranger, host, 5000, mapping), true);
    await close();
    assert.equal(router.mappings.size, 0);
  });

  it('a forced external port is asked for, and others reach the host by it', async () => {
    for (const options of [only, { natPmp: false, upnp: false }, { pcp: false, upnp: false }] as const) {
      const { world, host, stranger, map, close } = await home(options);
      const mapping = await map(5000, 'udp', { externalPort: 44_444 });
      assert.equal(mapping.external?.port, 44_444);
      assert.equal(await arrives(world, stranger, host, 5000, mapping), true);
      await close();
    }
  });
});
