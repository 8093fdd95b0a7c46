/** Whole programs as they are, behind NATs: they connect outwards, survive what NATs do, and know nothing of it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { openEndpoint } from '../../../src/endpoint/index.ts';
import { createNode, lengthDelimited, reading, writing } from '../../../src/node/index.ts';
import { mbapp } from '../../../src/wrappers/mbapp/index.ts';
import { openQuicSwarm } from '../../../src/swarms/quic/index.ts';
import { createMemoryRealm } from '../../../src/swarms/memory/index.ts';
import { p2pke } from '../../../src/swarms/p2pke/index.ts';
import { openTcpSwarm } from '../../../src/swarms/tcp/index.ts';
import { openUdpSwarm } from '../../../src/swarms/udp.ts';
import { createVirtualInternet, testKey, type VirtualHost } from '../../../src/testing/index.ts';
import { VirtualWorld } from '../../support/virtual-world.ts';

type Opener = (host: VirtualHost, i: number) => ReturnType<typeof openQuicSwarm> | ReturnType<typeof openTcpSwarm>;

const SWARMS: Readonly<Record<string, Opener>> = {
  quic: ({ realm, network }, i) => openQuicSwarm({ realm, network, privateKey: testKey(i) }),
  tls: ({ realm, network }, i) => openTcpSwarm({ realm, network, privateKey: testKey(i) }),
  p2pke: (async ({ realm, network }: VirtualHost, i: number) =>
    mbapp(p2pke(await openUdpSwarm({ realm, network }), { privateKey: testKey(i) }))) as never,
};

describe('programs behind NATs', () => {
  for (const [name, open] of Object.entries(SWARMS)) {
    it(`${name}: asks from behind a carrier's NAT and a home NAT; the server asks back by the source of the message`, async () => {
      const w = new VirtualWorld({ trace: undefined });
      const carrier = w.net.nat('random', { subnet: '100.64.0.0/10' });
      const client = await open(w.net.host({ behind: w.net.nat('port', { behind: carrier }), link: 'wifi' }), 1);
      const server = await open(w.net.host(), 2);
      client.serve(({ payload }) => payload);
      const asked: Promise<unknown>[] = [];
      server.serve(({ src, payload }) => {
        asked.push(server.ask(src as never, Uint8Array.of(7, 7)));
        return payload;
      });
      const answer = await w.run(client.ask(server.addr as never, Uint8Array.of(1, 2)));
      assert.deepEqual([...answer], [1, 2]);
      assert.equal(asked.length, 1);
      assert.deepEqual([...((await w.run(asked[0]!)) as Uint8Array)], [7, 7]);
      await w.run(Promise.all([client.close(), server.close()]));
    });
  }

  it('a QUIC connection goes on when the NAT gives it another port and another address', async () => {
    const w = new VirtualWorld({ trace: undefined });
    const nat = w.net.nat('random');
    const [client, server] = [
      await SWARMS['quic']!(w.net.host({ behind: nat }), 1),
      await SWARMS['quic']!(w.net.host(), 2),
    ];
    const sources = new Set<string>();
    server.serve(({ src, payload }) => {
      sources.add(src.text);
      return payload;
    });
    const ask = (): Promise<Uint8Array> =>
      w.run(client.ask(server.addr as never, Uint8Array.of(1), { timeoutMs: 10_000 }));
    await ask();
    nat.reboot();
    await ask();
    nat.renumber();
    await ask();
    assert.ok(sources.size >= 2, [...sources].join());
    await w.run(Promise.all([client.close(), server.close()]));
  });

  it('an endpoint connects from behind a NAT, and two behind NATs connect when both call', async () => {
    const w = new VirtualWorld({ trace: undefined });
    const nats = [w.net.nat('port'), w.net.nat('port')];
    const open = ({ realm, network }: VirtualHost, i: number) =>
      openEndpoint({ realm, network, bind: '0.0.0.0:5000', privateKey: testKey(i) });
    const [a, b] = [await open(w.net.host({ behind: nats[0]! }), 1), await open(w.net.host({ behind: nats[1]! }), 2)];
    const calls = [a.connect(`${nats[1]!.ip}:5000`), b.connect(`${nats[0]!.ip}:5000`)];
    const made = await w.run(Promise.allSettled(calls));
    assert.deepEqual(
      made.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    );
    await w.run(Promise.all([a.close(), b.close()]));
  });

  it('a node connects over IPv6 through firewalls to a node that has sent there, and over IPv4 to a public one', async () => {
    const w = new VirtualWorld({ ipv6: true, trace: undefined });
    const server = w.net.host();
    const laptop = w.net.host({ behind: w.net.nat('port') });
    let heard = 0;
    const there = createNode({
      security: 'none',
      codec: lengthDelimited(),
      realm: server.realm,
      network: server.network,
    });
    there.enable(reading({ onMessage: () => void heard++ }));
    const addr = await there.listen();
    const port = addr.split(':').at(-1)!;
    const here = createNode({
      security: 'none',
      codec: lengthDelimited(),
      realm: laptop.realm,
      network: laptop.network,
    });
    here.enable(writing());
    for (const ip of server.ips) {
      const connection = await w.run(here.connect(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`));
      connection.send(Uint8Array.of(1));
    }
    await w.advance(1000);
    assert.deepEqual([heard, server.ips.length], [2, 2]);
    await w.run(Promise.all([here.close(), there.close()]));
  });

  it('a program on a sleeping host times out after waking, and asks again', async () => {
    const w = new VirtualWorld({ trace: undefined });
    const [host, far] = [w.net.host(), w.net.host()];
    const [client, server] = [await SWARMS['p2pke']!(host, 1), await SWARMS['p2pke']!(far, 2)];
    server.serve(({ payload }) => payload);
    await w.run(client.ask(server.addr as never, Uint8Array.of(1)));
    host.sleep();
    const asking = client.ask(server.addr as never, Uint8Array.of(2), { timeoutMs: 5000 });
    let settled = 'no';
    asking.then(
      () => (settled = 'answered'),
      () => (settled = 'timeout'),
    );
    await w.advance(60_000);
    assert.equal(settled, 'no');
    host.wake();
    await w.advance(0);
    assert.equal(settled, 'timeout');
    await w.run(client.ask(server.addr as never, Uint8Array.of(3)));
    await w.run(Promise.all([client.close(), server.close()]));
  });
});

describe('a firewall without translation', () => {
  it('keeps public IPv4 addresses, and lets in whom a host has sent to', async () => {
    const w = new VirtualWorld();
    const host = w.net.host({ behind: w.net.nat('open', { filtering: 'address-and-port-dependent' }) });
    assert.match(host.ip, /^11\./);
    const [ear, far] = [await w.ear(host, 5000), await w.ear(w.net.host({ ip: '12.0.0.1' }), 9)];
    far.say('unasked', { ip: host.ip, port: 5000 });
    await w.advance(100);
    ear.say('hello', { ip: '12.0.0.1', port: 9 });
    await w.advance(100);
    far.say('asked', { ip: host.ip, port: 5000 });
    await w.advance(100);
    assert.deepEqual([ear.heard, far.heard], [['asked from 12.0.0.1:9'], [`hello from ${host.ip}:5000`]]);
  });
});

describe('the internet of a realm', () => {
  it('is there when it is asked for, the same each time, and from the seed of the realm', async () => {
    const portsOf = async (seed: number): Promise<string> => {
      const realm = createMemoryRealm({ clock: 'virtual', seed });
      assert.equal(realm.network, realm.network);
      const far = realm.network.host();
      const socket = await far.network.bindUdp({ bind: { ip: '0.0.0.0', port: 9 } });
      const seen: string[] = [];
      socket.sink = { onDatagram: (_, ip, port) => void seen.push(`${ip}:${port}`) };
      const near = realm.network.host({ behind: realm.network.nat('random') });
      (await near.network.bindUdp({ bind: { ip: '0.0.0.0', port: 0 } })).send(Uint8Array.of(1), far.ip, 9);
      await realm.clock.advance(100);
      return seen.join();
    };
    assert.equal(await portsOf(1), await portsOf(1));
    assert.notEqual(await portsOf(1), await portsOf(2));
    assert.throws(() => createVirtualInternet({ realm: {} as never }), TypeError);
    assert.throws(() => openUdpSwarm({ network: {} as never }), /Cannot take network/);
    assert.throws(() => createNode({ security: 'none', network: 5 as never }), /Cannot take network/);
  });
});
