/** LAN discovery on virtual LANs, in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { PeerId } from '../../src/core/peer-id.ts';
import { joinLan, type LanNode } from '../support/lan-world.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const idsOf = ({ lan }: LanNode): PeerId[] => lan.peers.map(({ id }) => id);

describe('LAN discovery', () => {
  it('two nodes find each other within 100 ms after both are up, over IPv4 and IPv6, with addresses to dial', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const lan = w.net.lan({ latencyMs: 1 });
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const a = await joinLan(one, 1);
    await w.advance(20_000);
    const upMs = w.realm.nowMs();
    const b = await joinLan(other, 2);
    await w.advance(100);
    assert.ok(a.heardMs.get(b.id)! - upMs <= 100);
    assert.ok(b.heardMs.get(a.id)! - upMs <= 100);
    const expected = one.ips.map((ip) => {
      const shown = ip.replace(/%.*/, '%eth0');
      return `${a.id}@${ip.includes(':') ? `[${shown}]` : ip}:5001`;
    });
    const [seen] = b.lan.peers;
    assert.deepEqual([...seen!.addrs].toSorted(), expected.toSorted());
    assert.deepEqual([seen!.interfaces, seen!.publicKey.spki], [['eth0'], a.key.publicKey.spki]);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('hosts with IPv6 only find each other by multicast, with link-local addresses that name the interface', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const lan = w.net.lan();
    const hosts = [w.net.host({ behind: lan, ipv4: false }), w.net.host({ behind: lan, ipv4: false })];
    const [a, b] = [await joinLan(hosts[0]!, 1), await joinLan(hosts[1]!, 2)];
    await w.advance(100);
    assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], [a.id]]);
    const { addrs } = a.lan.peers[0]!;
    assert.ok(addrs.every((addr) => addr.includes('@[')));
    assert.ok(addrs.some((addr) => /@\[fe80::[0-9a-f:]+%eth0\]:5002$/.test(addr)));
    assert.ok(w.trace.some((line) => line.includes('> [ff12::73:686f:616c]:5483 ttl 1,')));
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('two dozen nodes that start at once all know each other within two seconds, and a newcomer within 300 ms', async () => {
    const w = new VirtualWorld({ trace: undefined });
    const lan = w.net.lan();
    const nodes: LanNode[] = [];
    for (let seed = 1; seed <= 24; seed++) nodes.push(await joinLan(w.net.host({ behind: lan }), seed));
    await w.advance(2000);
    for (const { lan: one } of nodes) assert.equal(one.peers.length, 23);
    await w.advance(20_000);
    const newcomer = await joinLan(w.net.host({ behind: lan }), 99);
    await w.advance(100);
    assert.ok(newcomer.lan.peers.length > 0);
    await w.advance(200);
    assert.equal(newcomer.lan.peers.length, 24);
    for (const node of nodes) assert.ok(idsOf(node).includes(newcomer.id));
    await Promise.all([newcomer, ...nodes].map((node) => node.lan.close()));
  });

  it('a lost first query costs 500 ms, no more', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const a = await joinLan(one, 1);
    await w.advance(60_000);
    const upMs = w.realm.nowMs();
    other.setLink({ loss: 1 });
    const b = await joinLan(other, 2);
    await w.advance(10);
    other.setLink('perfect');
    await w.advance(5000);
    const tookMs = [a.heardMs.get(b.id)! - upMs, b.heardMs.get(a.id)! - upMs];
    assert.deepEqual(
      tookMs.map((ms) => ms >= 490 && ms <= 510),
      [true, true],
      String(tookMs),
    );
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('queries are repeated after 0.5, 1, 2 … s, and once a minute in the end', async () => {
    const w = new VirtualWorld();
    const host = w.net.host({ behind: w.net.lan() });
    const ear = await w.ear(w.net.host({ behind: w.net.lan() }), 5483);
    const node = await joinLan(host, 1);
    await w.advance(300_000);
    const sentMs = w.trace.flatMap((line) => (line.endsWith(' sent') ? [Number(line.split(' ')[0])] : []));
    const gaps = sentMs.slice(1).map((ms, i) => ms - sentMs[i]!);
    assert.deepEqual(gaps, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    assert.equal(ear.heard.length, 0);
    await node.lan.close();
  });

  it('three nodes on one host share the port, and find each other and a node elsewhere', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [host, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const nodes: LanNode[] = [];
    for (const seed of [1, 2, 3]) nodes.push(await joinLan(host, seed));
    nodes.push(await joinLan(other, 4));
    await w.advance(600);
    const all = nodes.map(({ id }) => id);
    for (const node of nodes) assert.deepEqual(idsOf(node).toSorted(), all.filter((id) => id !== node.id).toSorted());
    await Promise.all(nodes.map((node) => node.lan.close()));
  });

  it('a host with ten interfaces is found on each of them, with the addresses that are good there', async () => {
    const w = new VirtualWorld();
    const lans = Array.from({ length: 10 }, (_, i) => w.net.lan({ subnet: `10.0.${i}.0/24` }));
    const [first, ...rest] = lans;
    const big = w.net.host({ behind: first! });
    for (const lan of rest) big.attach({ behind: lan });
    const node = await joinLan(big, 99);
    const others: LanNode[] = [];
    for (const [i, lan] of lans.entries()) others.push(await joinLan(w.net.host({ behind: lan }), i + 1));
    await w.advance(100);
    assert.deepEqual(idsOf(node).toSorted(), others.map(({ id }) => id).toSorted());
    for (const [i, other] of others.entries()) {
      assert.deepEqual(other.lan.peers[0]!.addrs, [`${node.id}@10.0.${i}.2:5099`]);
    }
    await Promise.all([node, ...others].map(({ lan }) => lan.close()));
  });

  it('two hosts that share ten LANs know each other once, with all addresses', async () => {
    const w = new VirtualWorld();
    const lans = Array.from({ length: 10 }, (_, i) => w.net.lan({ subnet: `10.0.${i}.0/24` }));
    const hosts = [0, 1].map(() => {
      const host = w.net.host({ behind: lans[0]! });
      for (const lan of lans.slice(1)) host.attach({ behind: lan });
      return host;
    });
    const [a, b] = [await joinLan(hosts[0]!, 1), await joinLan(hosts[1]!, 2)];
    await w.advance(600);
    assert.deepEqual([a.lan.peers.length, b.lan.peers.length], [1, 1]);
    assert.equal(b.lan.peers[0]!.addrs.length, 10);
    assert.equal(b.lan.peers[0]!.interfaces.length, 10);
    await Promise.all([a, b].map(({ lan }) => lan.close()));
  });

  it('nodes of two networks on one LAN never meet, and cannot read each other', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const lan = w.net.lan();
    const hosts = [w.net.host({ behind: lan }), w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const a = await joinLan(hosts[0]!, 1, { networkName: 'red' });
    const b = await joinLan(hosts[1]!, 2, { networkName: 'blue' });
    const c = await joinLan(hosts[2]!, 3, { networkName: 'red' });
    await w.advance(600_000);
    assert.deepEqual([idsOf(a), idsOf(b), idsOf(c)], [[c.id], [], [a.id]]);
    assert.ok(b.lan.counters.drops.get('beacon.other_network')! > 0);
    await Promise.all([a, b, c].map((node) => node.lan.close()));
  });

  it('nothing passes a router, and what comes from another network is not taken', async () => {
    const w = new VirtualWorld();
    const nat = w.net.nat('open', { subnet: '203.0.113.0/24' });
    const [inside, outside] = [w.net.host({ behind: nat }), w.net.host()];
    const a = await joinLan(inside, 1);
    const b = await joinLan(outside, 2);
    // A query of b, sent to a by unicast from afar.
    const ear = await w.ear(outside, 4000);
    let query: Uint8Array | undefined;
    const tap = await inside.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5483 }, reuseAddress: true });
    tap.sink = { onDatagram: (payload) => (query = payload.slice()) };
    a.lan.query();
    await w.advance(5000);
    assert.deepEqual([idsOf(a), idsOf(b)], [[], []]);
    assert.equal(
      w.trace.some((line) => line.includes(nat.name) && line.includes(':5483') && !line.includes('dropped')),
      false,
    );
    await tap.close();
    ear.socket.send(query!, inside.ip, 5483);
    await w.advance(1000);
    assert.equal(a.lan.counters.drops.get('lan.foreign_source'), 1);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('an answer comes by unicast to the port that asked, whichever of three sockets has the shared port', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const a = await joinLan(one, 1);
    await w.advance(30_000);
    w.trace.length = 0;
    const nodes: LanNode[] = [];
    for (const seed of [2, 3, 4]) nodes.push(await joinLan(other, seed));
    await w.advance(100);
    for (const node of nodes) assert.ok(idsOf(node).includes(a.id));
    const answers = w.trace.filter(
      (line) => line.includes(`udp ${one.ip}:5483 > ${other.ip}:`) && line.endsWith(' sent'),
    );
    assert.equal(answers.length, 3);
    for (const line of answers) assert.doesNotMatch(line, />.*:5483 ttl/);
    for (const line of answers) assert.match(line, / ttl 1,/);
    await Promise.all([a, ...nodes].map((node) => node.lan.close()));
  });

  it('answering can be switched off and on; who asks is announced nevertheless, unless it has no addresses', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const hosts = [1, 2, 3].map(() => w.net.host({ behind: lan }));
    const a = await joinLan(hosts[0]!, 1, { answer: false });
    await w.advance(10_000);
    const b = await joinLan(hosts[1]!, 2);
    const c = await joinLan(hosts[2]!, 3, { addrs: [] });
    await w.advance(100);
    assert.deepEqual([idsOf(a), idsOf(b), idsOf(c)], [[b.id], [], [b.id]]);
    a.lan.setAnswering(true);
    b.lan.query();
    c.lan.query();
    await w.advance(300);
    assert.deepEqual([idsOf(b), idsOf(c).toSorted()], [[a.id], [a.id, b.id].toSorted()]);
    await Promise.all([a, b, c].map((node) => node.lan.close()));
  });

  it('hasPeers says whether a node is on the LAN, and is false again three minutes after it has gone', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const a = await joinLan(w.net.host({ behind: lan }), 1);
    assert.equal(a.lan.hasPeers, false);
    const b = await joinLan(w.net.host({ behind: lan }), 2);
    await w.advance(600);
    assert.equal(a.lan.hasPeers, true);
    await b.lan.close();
    await w.advance(179_000);
    assert.equal(a.lan.hasPeers, true);
    await w.advance(2000);
    assert.equal(a.lan.hasPeers, false);
    await a.lan.close();
  });

  it('interfaces that come, go and change are followed', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const [home, office] = [w.net.lan({ subnet: '10.1.0.0/24' }), w.net.lan({ subnet: '10.2.0.0/24' })];
    const mover = w.net.host({ behind: home });
    const a = await joinLan(mover, 1);
    const b = await joinLan(w.net.host({ behind: office }), 2);
    await w.advance(120_000);
    assert.deepEqual([idsOf(a), idsOf(b)], [[], []]);
    let atMs = w.realm.nowMs();
    mover.attach({ behind: office });
    await w.advance(100);
    assert.ok(a.heardMs.get(b.id)! - atMs <= 100 && b.heardMs.get(a.id)! - atMs <= 100);
    assert.ok(b.lan.peers[0]!.addrs.every((addr) => !addr.includes('10.1.0.')));
    mover.down('eth1');
    await w.advance(100);
    assert.deepEqual(idsOf(a), []);
    await w.advance(1000);
    atMs = w.realm.nowMs();
    mover.move({ behind: office }, 'eth0');
    await w.advance(100);
    assert.deepEqual(idsOf(a), [b.id]);
    assert.ok(a.lan.peers[0]!.seenMs - w.realm.wallMs() + w.realm.nowMs() - atMs <= 100);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('a virtual host with 127.255.255.255 asks the nodes of its own, and sends nothing to its LAN', async () => {
    const w = new VirtualWorld({ ipv6: true });
    const lan = w.net.lan();
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const broadcast = '127.255.255.255';
    const nodes = [
      await joinLan(one, 1, { broadcast }),
      await joinLan(one, 2, { broadcast }),
      await joinLan(other, 3, { broadcast }),
      await joinLan(other, 4),
    ];
    await w.advance(60_000);
    const [a, b, c, d] = nodes;
    assert.deepEqual([idsOf(a!), idsOf(b!), idsOf(c!), idsOf(d!)], [[b!.id], [a!.id], [], []]);
    assert.deepEqual(a!.lan.peers[0]!.addrs, [`${b!.id}@127.0.0.1:5002`, `${b!.id}@[::1]:5002`]);
    assert.equal(
      w.trace.some((line) => line.includes(`udp ${one.ip}:`)),
      false,
    );
    await Promise.all(nodes.map((node) => node.lan.close()));
  });

  it('clocks that are years apart do not keep nodes from each other', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const a = await joinLan(one, 1);
    await w.advance(60_000);
    const { clock } = other.realm;
    const late = {
      clock,
      nowMs: () => other.realm.nowMs(),
      wallMs: () => other.realm.wallMs() + 3e11,
      random: (length: number) => other.realm.random(length),
    };
    const upMs = w.realm.nowMs();
    const b = await joinLan(other, 2, { realm: late });
    await w.advance(600);
    assert.ok(a.heardMs.get(b.id)! - upMs <= 600);
    assert.ok(b.heardMs.get(a.id)! - upMs <= 100);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('two processes with one key are told, once a minute, and do not become candidates of each other', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const [one, other] = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
    const [a, b] = [await joinLan(one, 1), await joinLan(other, 1, { tcpPort: 7777 })];
    const c = await joinLan(w.net.host({ behind: lan }), 3);
    await w.advance(50_000);
    assert.deepEqual([a.elsewhere, b.elsewhere], [[other.ip], [one.ip]]);
    assert.deepEqual([idsOf(a), idsOf(b)], [[c.id], [c.id]]);
    assert.deepEqual(idsOf(c), [a.id, a.id]);
    assert.equal(new Set(c.lan.peers.map(({ instance }) => instance)).size, 2);
    await Promise.all([a, b, c].map((node) => node.lan.close()));
  });
});
