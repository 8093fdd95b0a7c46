/** Observers, reports and dial-back behind every kind of NAT, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError } from '../../src/core/errors.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import {
  type AddressWatch,
  natReport,
  observing,
  type NatReport,
  openObserver,
  watchAddresses,
} from '../../src/nat/index.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import { answerStun } from '../../src/protocols/stun/server.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';

/** An internet with three observers in three networks, each with two IPs. */
async function world(seed = 1) {
  const realm = createMemoryRealm({ clock: 'virtual', seed });
  const net = createVirtualInternet({ realm, seed });
  const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);
  const observers: string[] = [];
  const open: AsyncDisposable[] = [];
  for (const n of [1, 2, 3]) {
    const host = net.host({ ip: `11.0.${n}.1` });
    host.attach({ ip: `11.0.${n}.2` });
    const observer = await run(
      openObserver({
        bind: `11.0.${n}.1:3478`,
        otherBind: `11.0.${n}.2:3479`,
        network: host.network,
        realm: host.realm,
      }),
    );
    open.push(observer);
    observers.push(observer.addresses[0]!);
  }
  const report = ({ network, realm: time }: VirtualHost): Promise<NatReport> =>
    run(natReport({ observers, network, realm: time }));
  return {
    realm,
    net,
    run,
    observers,
    report,
    close: () => run(Promise.all(open.map((one) => one[Symbol.asyncDispose]()))),
  };
}

const udpOf = ({ paths }: NatReport) => paths.find(({ transport }) => transport === 'udp')!;
const tcpOf = ({ paths }: NatReport) => paths.find(({ transport }) => transport === 'tcp')!;

describe('a report from behind a NAT', () => {
  for (const [kind, mapping, filtering, tcpMapping, says] of [
    ['open', 'none', 'endpoint-independent', 'none', /Every peer can dial this host/],
    [
      'full',
      'endpoint-independent',
      'endpoint-independent',
      'endpoint-independent',
      /every peer can dial that address while the mapping lives/,
    ],
    [
      'address',
      'endpoint-independent',
      'address-dependent',
      'endpoint-independent',
      /hole punching works with every peer\./,
    ],
    [
      'port',
      'endpoint-independent',
      'address-and-port-dependent',
      'endpoint-independent',
      /every peer but those whose NAT gives a random port/,
    ],
    [
      'sequential',
      'address-and-port-dependent',
      'address-and-port-dependent',
      'dependent',
      /where the next port can be predicted/,
    ],
    [
      'random',
      'address-and-port-dependent',
      'address-and-port-dependent',
      'dependent',
      /others need port mapping or a relay/,
    ],
  ] as const satisfies readonly (readonly [NatKind, ...unknown[]])[]) {
    it(`${kind}: mapping and filtering are what they are, and proven`, async () => {
      const { net, report, close } = await world();
      const host = net.host({ behind: net.nat(kind) });
      const made = await report(host);
      const udp = udpOf(made);
      assert.deepEqual(
        [udp.mapping?.behavior, udp.mapping?.certainty, udp.filtering?.behavior, udp.filtering?.certainty],
        [mapping, 'proven', filtering, 'proven'],
      );
      assert.equal(udp.address?.ipCertainty, 'proven');
      assert.equal(tcpOf(made).mapping?.behavior, tcpMapping);
      assert.match(made.summary.join('\n'), says);
      if (kind === 'sequential') assert.equal(udp.mapping?.ports, 'sequential');
      if (kind === 'random') assert.equal(udp.mapping?.ports, 'random');
      await close();
    });
  }

  it('UDP blocked, and only port 443 open, are told apart from a host without a way out', async () => {
    const { net, report, close } = await world();
    const blocked = await report(net.host({ behind: net.nat('udp-blocked') }));
    assert.equal(udpOf(blocked).address, undefined);
    assert.notEqual(tcpOf(blocked).address, undefined);
    assert.match(blocked.summary[0]!, /UDP is blocked/);
    const cut = await report(net.host({ behind: net.nat('443-only') }));
    assert.match(cut.summary[0]!, /no observer answered/);
    await close();
  });

  it('hairpinning, and a NAT of the provider above, are named', async () => {
    const { net, report, close } = await world();
    for (const hairpin of [true, false]) {
      const made = await report(net.host({ behind: net.nat('full', { hairpin }) }));
      assert.equal(udpOf(made).hairpin, hairpin);
    }
    await close();
  });

  it('a lying observer of four changes no verdict', async () => {
    const { net, run, observers, close } = await world();
    const liar = net.host({ ip: '11.0.9.1' });
    const socket = await run(liar.network.bindUdp({ bind: { ip: '11.0.9.1', port: 3478 } }));
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        const { bytes } = answerStun(payload, { ip: '198.51.100.66', port: 6666 }, { here: socket.address })!;
        socket.send(bytes, ip, port);
      },
    };
    const host = net.host({ behind: net.nat('port') });
    const asked = ['11.0.9.1:3478', ...observers];
    const made = await run(natReport({ observers: asked, tcp: false, network: host.network, realm: host.realm }));
    const { address, mapping, observers: outcomes } = udpOf(made);
    assert.equal(outcomes[0]!.mapped, '198.51.100.66:6666');
    assert.deepEqual(
      [address?.ipCertainty, mapping?.behavior, mapping?.certainty],
      ['proven', 'endpoint-independent', 'proven'],
    );
    assert.notEqual(address?.ip, '198.51.100.66');
    await run(socket.close());
    await close();
  });
});

describe('a report', () => {
  it('waits for an answer as long as it was told to', async () => {
    const { realm, net, run } = await world();
    const slow = net.host({ link: { latencyMs: 2000 } });
    const observer = await run(openObserver({ bind: `${slow.ip}:3478`, network: slow.network, realm: slow.realm }));
    const { network, realm: time } = net.host({ behind: net.nat('port') });
    const ask = (timeoutMs: number): Promise<NatReport> =>
      run(natReport({ observers: [observer.addresses[0]!], tcp: false, network, realm: time, timeoutMs }));
    const before = realm.nowMs();
    assert.equal((await ask(3900)).paths[0]!.address, undefined);
    assert.equal(realm.nowMs() - before, 3900);
    assert.ok((await ask(10_000)).paths[0]!.address);
    await run(observer.close());
  });

  it('of a LAN in which nothing is translated tells of no NAT of the provider', async () => {
    const { net, run } = await world();
    const lan = net.lan();
    const [host, other] = [net.host({ behind: lan }), net.host({ behind: lan })];
    const observer = await run(openObserver({ bind: `${other.ip}:3478`, network: other.network, realm: other.realm }));
    const { network, realm } = host;
    const { summary } = await run(natReport({ observers: [observer.addresses[0]!], network, realm }));
    assert.match(summary.join('\n'), /there is no NAT/);
    assert.doesNotMatch(summary.join('\n'), /provider/);
    await run(observer.close());
  });

  it('two liars of five, the only ones with a second address, prove no filtering', async () => {
    const { net, run, close } = await world();
    const observers: string[] = [];
    for (let n = 1; n <= 3; n++) {
      const { network, realm, ip } = net.host({ ip: `21.0.${n}.1` });
      observers.push((await run(openObserver({ bind: `${ip}:3478`, network, realm }))).addresses[0]!);
    }
    for (let n = 4; n <= 5; n++) {
      const { network, ip } = net.host({ ip: `21.0.${n}.1` });
      const socket = await run(network.bindUdp({ bind: { ip, port: 3478 } }));
      const other = { ip: `21.0.${n}.2`, port: 3479 };
      // It claims a second address, and never answers from there.
      socket.sink = {
        onDatagram: (payload, from, port) => {
          const reply = answerStun(payload, { ip: from, port }, { here: socket.address, other })!;
          if (!reply.otherIp && !reply.otherPort) socket.send(reply.bytes, from, port);
        },
      };
      observers.push(`${ip}:3478`);
    }
    const host = net.host({ behind: net.nat('full') });
    const made = await run(natReport({ observers, tcp: false, network: host.network, realm: host.realm }));
    assert.deepEqual(udpOf(made).filtering, { behavior: 'address-and-port-dependent', certainty: 'assumed' });
    assert.equal(udpOf(made).mapping?.certainty, 'proven');
    await close();
  });
});

describe('an observing swarm on the move', () => {
  it('is seen under its new address after a change of interfaces', async () => {
    const { net, run, observers, close } = await world();
    const host = net.host({ behind: net.nat('port') });
    const { network, realm } = host;
    const swarm = observing(await run(openUdpSwarm({ network, realm })));
    const before = await run(swarm.observe(observers[0]!));
    let changes = 0;
    using _listening = network.onInterfacesChanged(() => changes++);
    host.move({ behind: net.nat('port') });
    const after = await run(swarm.observe(observers[0]!));
    assert.notEqual(after.mapped.ip, before.mapped.ip);
    assert.equal(changes, 1);
    await run(swarm.close());
    await close();
  });
});

describe('ports of an observer', () => {
  it('a port that is in use for TCP is not taken for UDP either, where the system chooses', async () => {
    const { net, run, close } = await world();
    const { network, realm: time, ip } = net.host({ ip: '20.0.0.1' });
    const taken = [];
    // The first ports that the system would choose.
    for (let port = 49_152; port < 49_155; port++) {
      const listening = {
        bind: { ip, port },
        backlog: 1,
        reusePort: false,
        onConnection: () => undefined,
        onError: () => undefined,
      };
      taken.push(await run(network.listen(listening)));
    }
    const observer = await run(openObserver({ bind: `${ip}:0`, network, realm: time }));
    assert.equal(parseSocketAddress(observer.addresses[0]!)!.port, 49_155);
    await run(Promise.all([observer.close(), ...taken.map((listener) => listener.close())]));
    await assert.rejects(run(openObserver({ bind: '20.0.0.9:0', network, realm: time })), (error) =>
      P2PError.is(error, 'unreachable'),
    );
    await close();
  });
});

describe('a watch of addresses', () => {
  it('asks again when the interfaces change, and every five minutes', async () => {
    const { realm, net, run, observers, close } = await world();
    const host = net.host({ behind: net.nat('port') });
    const { network, realm: time } = host;
    const swarm = observing(await run(openUdpSwarm({ network, realm: time })));
    const changes: (string | undefined)[] = [];
    const watch: AddressWatch = watchAddresses(swarm, {
      network,
      observers: () => observers,
      onChange: () => void changes.push(watch.address(4)?.ipCertainty),
    });
    await realm.clock.advance(1000);
    assert.deepEqual(changes, ['assumed', 'likely', 'proven']);
    const before = watch.address(4)!;
    assert.equal(watch.mapping(4)?.behavior, 'endpoint-independent');
    host.move({ behind: net.nat('random') });
    assert.equal(watch.address(4), undefined, 'what was said before is worth nothing');
    await realm.clock.advance(1000);
    assert.notEqual(watch.address(4)!.ip, before.ip);
    assert.deepEqual([watch.address(4)!.ipCertainty, watch.mapping(4)?.behavior], ['proven', 'dependent']);
    const { sent } = swarm.counters.inner!;
    await realm.clock.advance(300_000);
    assert.equal(swarm.counters.inner!.sent, sent + observers.length);
    watch[Symbol.dispose]();
    await realm.clock.advance(600_000);
    assert.equal(swarm.counters.inner!.sent, sent + observers.length, 'nothing is asked any more');
    await run(swarm.close());
    await close();
  });

  it('an application that cannot name observers ends nothing', async () => {
    const { realm, net, run, observers, close } = await world();
    const host = net.host({ behind: net.nat('full') });
    const { network, realm: time } = host;
    const swarm = observing(await run(openUdpSwarm({ network, realm: time })));
    let rounds = 0;
    using watch = watchAddresses(swarm, {
      network,
      everyMs: 1000,
      observers: () => {
        if (++rounds < 3) throw new Error('not yet');
        return observers;
      },
    });
    await realm.clock.advance(1000);
    assert.equal(watch.address(4), undefined);
    await realm.clock.advance(2000);
    assert.equal(watch.address(4)?.ipCertainty, 'proven');
    await run(swarm.close());
    await close();
  });

  it('an answer to what was asked before a change of interfaces does not count', async () => {
    const { realm, net, run, observers, close } = await world();
    const host = net.host({ behind: net.nat('full') });
    const { network, realm: time } = host;
    const swarm = observing(await run(openUdpSwarm({ network, realm: time })));
    using watch = watchAddresses(swarm, { network, observers: () => observers.slice(0, 1) });
    await realm.clock.advance(10); // The question is on its way.
    host.down();
    await realm.clock.advance(1000);
    assert.equal(watch.address(4), undefined);
    await run(swarm.close());
    await close();
  });
});
