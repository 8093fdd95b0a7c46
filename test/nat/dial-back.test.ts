/** Helpers that dial back, and those who ask them, behind NATs, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { P2PError } from '../../src/core/errors.ts';
import {
  type DialBackProof,
  DialBackNonces,
  listenForDialBack,
  proveReachable,
  serveDialBack,
} from '../../src/nat/index.ts';
import type { Pipe } from '../../src/net/pipe.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import { openTcpSwarm, type TcpSwarm } from '../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

/** Asks over bare UDP. */
const askingOn = async ({ network, realm }: VirtualHost) =>
  mbapp(await openUdpSwarm({ network, realm, bind: '0.0.0.0:4000' }));

describe('dial-back through NATs', () => {
  /** A helper at a public address, and a node that asks it over TCP. */
  async function helped(behind: NatKind | undefined) {
    const world = new VirtualWorld();
    const { net } = world;
    const run = <T>(promise: Promise<T>): Promise<T> => world.run(promise);
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
    return { net, run, helper, partner, host, node, nat };
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
    const world = new VirtualWorld();
    const { net, realm } = world;
    const run = <T>(promise: Promise<T>): Promise<T> => world.run(promise);
    const lan = net.nat('full');
    const [helperHost, neighbour, stranger] = [net.host({ behind: lan }), net.host({ behind: lan }), net.host()];
    lan.forward('udp', 4000, { ip: helperHost.ip, port: 4000 });
    const [helper, asker, near] = [await askingOn(helperHost), await askingOn(stranger), await askingOn(neighbour)];
    serveDialBack(helper, { network: helperHost.network });
    const nonces = new DialBackNonces();
    const targets = [
      neighbour.ip,
      helperHost.ip,
      '127.0.0.1',
      '127.9.9.9',
      '::1',
      '::ffff:127.0.0.1',
      '10.1.1.1',
      '100.64.0.9',
    ];
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

  it('a partner that is not in the private network of helper and asker keeps nobody from a proof', async () => {
    const world = new VirtualWorld();
    const { net } = world;
    const run = <T>(promise: Promise<T>): Promise<T> => world.run(promise);
    const lan = net.nat('port');
    const [helperHost, host, far] = [net.host({ behind: lan }), net.host({ behind: lan }), net.host()];
    const [helper, node, partner] = [await askingOn(helperHost), await askingOn(host), await askingOn(far)];
    serveDialBack(helper, { network: helperHost.network, partners: () => [partner.addr] });
    serveDialBack(partner, { network: far.network });
    const nonces = new DialBackNonces();
    const { network, realm } = host;
    const listener = await run(listenForDialBack({ transport: 'udp', bind: '0.0.0.0:5000', nonces, network, realm }));
    const target = { ip: host.ip, port: 5000 };
    const dst = node.parseAddr(`${helperHost.ip}:4000`);
    assert.equal((await run(proveReachable(node, dst, { target, transport: 'udp', nonces }))).fromOtherIp, false);
    await run(Promise.all([helper.close(), node.close(), partner.close(), listener.close()]));
  });

  it('a helper that is disposed of sends no more, and closes its sockets', async () => {
    const world = new VirtualWorld();
    const { net, realm } = world;
    const run = <T>(promise: Promise<T>): Promise<T> => world.run(promise);
    const [helperHost, host] = [net.host(), net.host()];
    const [helper, node] = [await askingOn(helperHost), await askingOn(host)];
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
