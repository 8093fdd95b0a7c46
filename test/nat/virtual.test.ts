/** Observers, reports and dial-back behind every kind of NAT, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { P2PError } from '../../src/core/errors.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import {
  type AddressWatch,
  type DialBackProof,
  DialBackNonces,
  listenForDialBack,
  natReport,
  observing,
  type NatReport,
  openObserver,
  proveReachable,
  serveDialBack,
  watchAddresses,
} from '../../src/nat/index.ts';
import { createVirtualInternet } from '../../src/net/virtual/internet.ts';
import { answerStun } from '../../src/protocols/stun/server.ts';
import { type NatKind } from '../../src/net/virtual/nat-rules.ts';
import { type Pipe } from '../../src/net/pipe.ts';
import { type VirtualHost } from '../../src/net/virtual/types.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';

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
      /peers can dial it while the mapping lives/,
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

describe('dial-back through NATs', () => {
  /** A helper at a public address, and a node that asks it over TCP. */
  async function helped(behind: NatKind | undefined) {
    const { net, run, close } = await world();
    const swarmOn = (host: VirtualHost, i: number): Promise<TcpSwarm> =>
      run(
        openTcpSwarm({
          privateKey: testKey(i),
          security: 'noise',
          network: host.network,
          realm: host.realm,
          bind: '0.0.0.0:4000',
        }),
      );
    const helperHost = net.host({ ip: '12.0.0.1' });
    const partnerHost = net.host({ ip: '12.0.1.1' });
    const helper = await swarmOn(helperHost, 1);
    const partner = await swarmOn(partnerHost, 2);
    serveDialBack(helper, { network: helperHost.network, partners: () => [partner.addr] });
    serveDialBack(partner, { network: partnerHost.network });
    const nat = behind === undefined ? undefined : net.nat(behind);
    const host = net.host(nat === undefined ? {} : { behind: nat });
    const node = await swarmOn(host, 3);
    return { net, run, helper, partner, host, node, nat, close };
  }

  for (const transport of ['udp', 'tcp'] as const) {
    it(`a public host is proven over ${transport}, by the partner's IP`, async () => {
      const { run, helper, partner, host, node } = await helped(undefined);
      const nonces = new DialBackNonces();
      const listener = await run(
        listenForDialBack({ transport, bind: '0.0.0.0:5000', nonces, network: host.network, realm: host.realm }),
      );
      const target = { ip: host.ip, port: 5000 };
      const proof: DialBackProof = await run(proveReachable(node, helper.addr, { target, transport, nonces }));
      assert.equal(proof.fromOtherIp, true);
      assert.equal(parseSocketAddress(proof.from)!.ip, '12.0.1.1');
      await run(Promise.all([listener.close(), node.close(), helper.close(), partner.close()]));
    });
  }

  it('a host behind a NAT that nobody has opened is not', async () => {
    const { run, helper, host, node, nat } = await helped('port');
    const nonces = new DialBackNonces();
    const target = { ip: nat!.ip, port: 5000 };
    for (const transport of ['udp', 'tcp'] as const) {
      const listener = await run(
        listenForDialBack({ transport, bind: '0.0.0.0:5000', nonces, network: host.network, realm: host.realm }),
      );
      await assert.rejects(
        run(proveReachable(node, helper.addr, { target, transport, nonces })),
        (error) => P2PError.is(error, 'timeout') || P2PError.is(error, 'unreachable'),
      );
      await run(listener.close());
    }
    assert.equal(nonces.size, 0);
    await run(Promise.all([node.close(), helper.close()]));
  });

  it('a stranger is refused addresses of the network behind the helper, and of the helper itself', async () => {
    const { net, run, realm } = await world();
    const lan = net.nat('full');
    const swarmOn = async ({ network, realm }: VirtualHost) =>
      mbapp(await openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' }));
    const [helperHost, neighbour, stranger] = [net.host({ behind: lan }), net.host({ behind: lan }), net.host()];
    lan.forward('udp', 4000, { ip: helperHost.ip, port: 4000 });
    const [helper, asker, near] = [await swarmOn(helperHost), await swarmOn(stranger), await swarmOn(neighbour)];
    serveDialBack(helper, { network: helperHost.network });
    const nonces = new DialBackNonces();
    const targets = [neighbour.ip, helperHost.ip, '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1', '10.1.1.1'];
    const status = (from: typeof asker, to: string, ip: string): Promise<string> =>
      run(
        proveReachable(from, from.parseAddr(`${to}:4000`), {
          target: { ip, port: 5000 },
          transport: 'tcp',
          nonces,
        }).then(
          () => 'proven',
          (error: P2PError) => error.code,
        ),
      );
    for (const ip of targets) {
      assert.equal(await status(asker, lan.ip, ip), 'refused', ip);
      if (ip !== neighbour.ip) assert.equal(await status(near, helperHost.ip, ip), 'refused', ip);
    }
    // Who is in that network itself is helped.
    assert.equal(await status(near, helperHost.ip, neighbour.ip), 'unreachable');
    await run(Promise.all([helper.close(), asker.close(), near.close()]));
    await realm.clock.advance(1000);
  });

  it('a helper that is disposed of sends no more, and closes its sockets', async () => {
    const { net, run, realm } = await world();
    const [helperHost, host] = [net.host(), net.host()];
    const swarmOn = async ({ network, realm }: VirtualHost) =>
      mbapp(await openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' }));
    const [helper, node] = [await swarmOn(helperHost), await swarmOn(host)];
    const serving = serveDialBack(helper, { network: helperHost.network });
    const heard: string[] = [];
    const accepted: Pipe[] = [];
    const socket = await host.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5000 } });
    socket.sink = { onDatagram: () => void heard.push('datagram') };
    await host.network.listen({
      bind: { ip: '0.0.0.0', port: 5000 },
      backlog: 1,
      reusePort: false,
      onError: () => undefined,
      onConnection: ({ pipe }) => {
        accepted.push(pipe); // Which never ends its half.
        pipe.sink = { onData: () => undefined, onEnd: () => undefined, onClose: () => void heard.push('closed') };
        pipe.resume();
      },
    });
    const target = { ip: host.ip, port: 5000 };
    const proofs = (['udp', 'tcp'] as const).map((transport) =>
      assert.rejects(proveReachable(node, helper.addr, { target, transport, nonces: new DialBackNonces() })),
    );
    await realm.clock.advance(300);
    assert.deepEqual(heard, ['datagram']);
    serving[Symbol.dispose]();
    accepted[0]!.write([Uint8Array.of(1)], () => undefined); // An open socket would take it.
    await realm.clock.advance(1000);
    assert.deepEqual(heard, ['datagram', 'closed']);
    await realm.clock.advance(10_000);
    await Promise.all(proofs);
    await run(Promise.all([node.close(), helper.close()]));
  });
});
