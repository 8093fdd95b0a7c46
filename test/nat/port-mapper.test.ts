/** Ports mapped on virtual routers: verdicts, closing, misuse. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPortMapper } from '../../src/nat/index.ts';
import { arrives, external, home, outcomes } from '../support/mapper-world.ts';
import { virtualRouter } from '../support/virtual-router.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

describe('a port on a router', () => {
  for (const [via, options] of [
    ['pcp', { natPmp: false, upnp: false }],
    ['nat-pmp', { pcp: false, upnp: false }],
    ['upnp', { pcp: false, natPmp: false }],
    ['upnp', { pcp: false, natPmp: false, upnp: 1 }],
  ] as const satisfies readonly (readonly [string, Parameters<typeof home>[0]])[]) {
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
      assert.equal(external(mapping), undefined);
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

describe('a bad network', () => {
  it('loses a tenth of all packets, and each protocol maps, renews and removes, for ten seeds', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      for (const options of [
        { natPmp: false, upnp: false },
        { pcp: false, upnp: false },
        { pcp: false, natPmp: false },
      ] as const) {
        const { world, router, map, close } = await home(options, 'port', false, { seed, link: { loss: 0.1 } });
        const mapping = await map(5000, 'udp', { lifetimeMs: 300_000 });
        await world.advance(20_000);
        const { via } = mapping;
        assert.equal(mapping.external?.port, 5000, `seed ${seed}: ${mapping.reason}`);
        for (let i = 0; i < 60; i++) {
          await world.advance(60_000);
          assert.equal(router.mappings.size, 1, `seed ${seed}`);
        }
        await close();
        // A removal that is lost is repeated. Over TCP that takes a second, longer than closing may: then the lease ends it.
        if (via === 'upnp') await world.advance(300_000);
        assert.equal(router.mappings.size, 0, `seed ${seed}`);
      }
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
      assert.equal(external(mapping), undefined);
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
      await world.advance(260);
      assert.equal(external(mapping), undefined);
      await world.run(mapper.close());
      await world.advance(1000);
      assert.equal(router.mappings.size, 0);
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

describe('misuse', () => {
  it('throws at once', async () => {
    const { mapper, host, close } = await home();
    const { network, realm } = host;
    const wrong = (call: () => unknown, error: typeof TypeError | typeof RangeError): void => {
      assert.throws(call, error);
    };
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
