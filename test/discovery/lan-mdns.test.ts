/** DNS-SD beside the beacon, on virtual LANs in virtual time. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { PeerId } from '../../src/core/peer-id.ts';
import { decodeMdns, DNS_TYPE, readTxt } from '../../src/protocols/mdns/message.ts';
import { readRecordTxt, recordTxt } from '../../src/protocols/beacon/txt.ts';
import { joinLan, type LanNode } from '../support/lan-world.ts';
import { VirtualWorld } from '../support/virtual-world.ts';

const idsOf = ({ lan }: LanNode): PeerId[] => lan.peers.map(({ id }) => id);
/** Nodes that do not hear each other's beacons. */
const apart = [
  { mdns: true, port: 5483 },
  { mdns: true, port: 5484 },
] as const;

describe('LAN discovery by multicast DNS', () => {
  it('nodes find each other by it alone, over IPv4 and IPv6, and stay known', async () => {
    for (const ipv6 of [false, true]) {
      const w = new VirtualWorld({ ipv6 });
      const lan = w.net.lan();
      const hosts = [w.net.host({ behind: lan }), w.net.host({ behind: lan })];
      const [a, b] = [await joinLan(hosts[0]!, 1, apart[0]), await joinLan(hosts[1]!, 2, apart[1])];
      await w.advance(3000);
      assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], [a.id]]);
      assert.equal(a.lan.peers[0]!.addrs.length, hosts[1]!.ips.length);
      await w.advance(3_600_000);
      assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], [a.id]]);
      await Promise.all([a, b].map((node) => node.lan.close()));
    }
  });

  it('three nodes of one host share port 5353 and are all found', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const host = w.net.host({ behind: lan });
    const nodes: LanNode[] = [];
    for (const seed of [1, 2, 3]) nodes.push(await joinLan(host, seed, { mdns: true, port: 6000 + seed }));
    nodes.push(await joinLan(w.net.host({ behind: lan }), 4, { mdns: true, port: 7000 }));
    await w.advance(4000);
    const all = nodes.map(({ id }) => id);
    for (const node of nodes) {
      assert.deepEqual(idsOf(node).toSorted(), all.filter((id) => id !== node.id).toSorted());
    }
    await Promise.all(nodes.map((node) => node.lan.close()));
  });

  it('nodes of two networks never meet, and a TXT record tells neither key nor PeerID nor network', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const eye = w.net.host({ behind: lan });
    const texts: string[] = [];
    const socket = await eye.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5353 }, reuseAddress: true });
    socket.joinMulticast('224.0.0.251', 'eth0');
    socket.sink = {
      onDatagram: (payload) => {
        const message = decodeMdns(payload);
        for (const { type, data } of [...(message?.answers ?? []), ...(message?.additionals ?? [])]) {
          if (type === DNS_TYPE.TXT) texts.push(...readTxt(data));
        }
      },
    };
    const a = await joinLan(w.net.host({ behind: lan }), 1, { mdns: true, networkName: 'red' });
    const b = await joinLan(w.net.host({ behind: lan }), 2, { mdns: true, networkName: 'blue' });
    await w.advance(600_000);
    assert.deepEqual([idsOf(a), idsOf(b)], [[], []]);
    assert.ok(texts.includes('v=1') && texts.some((text) => text.startsWith('r0=')));
    const record = readRecordTxt(texts)!;
    assert.ok(record.length > 100);
    for (const secret of [a.id, 'red', '5001']) {
      const clear = new TextEncoder().encode(secret).join();
      assert.equal(record.join().includes(clear), false);
      assert.equal(
        texts.some((text) => text.includes(secret)),
        false,
      );
    }
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('a node that has gone without a word is forgotten after three minutes, one that said goodbye announces so', async () => {
    const w = new VirtualWorld();
    const lan = w.net.lan();
    const dying = w.net.host({ behind: lan });
    const [a, b] = [await joinLan(w.net.host({ behind: lan }), 1, apart[0]), await joinLan(dying, 2, apart[1])];
    await w.advance(5000);
    dying.down();
    await w.advance(400_000);
    assert.deepEqual(idsOf(a), []);
    w.trace.length = 0;
    await a.lan.close();
    assert.ok(w.trace.some((line) => line.includes(':5353 > 224.0.0.251:5353')));
    await b.lan.close();
    await w.advance(10);
    const before = w.trace.length;
    await w.advance(600_000);
    assert.equal(w.trace.length, before);
  });

  it('interfaces that come are announced on, and addresses that change are announced again', async () => {
    const w = new VirtualWorld();
    const [home, office] = [w.net.lan({ subnet: '10.1.0.0/24' }), w.net.lan({ subnet: '10.2.0.0/24' })];
    const mover = w.net.host({ behind: home });
    const addrs: string[] = [];
    const a = await joinLan(mover, 1, { ...apart[0], addrs: () => addrs });
    const b = await joinLan(w.net.host({ behind: office }), 2, apart[1]);
    await w.advance(5000);
    mover.attach({ behind: office });
    await w.advance(5000);
    // It has no address yet, so it looks only.
    assert.deepEqual([idsOf(a), idsOf(b)], [[b.id], []]);
    addrs.push(`${a.id}@0.0.0.0:4001`);
    a.lan.query();
    await w.advance(5000);
    assert.deepEqual(idsOf(b), [a.id]);
    assert.match(b.lan.peers[0]!.addrs[0]!, /@10\.2\.0\.\d+:4001$/);
    addrs[0] = `${a.id}@0.0.0.0:4002`;
    a.lan.query();
    await w.advance(5000);
    assert.match(b.lan.peers[0]!.addrs[0]!, /:4002$/);
    await Promise.all([a, b].map((node) => node.lan.close()));
  });

  it('without the option nobody hears of port 5353; with a taken one it is refused', async () => {
    const w = new VirtualWorld();
    const host = w.net.host({ behind: w.net.lan() });
    const a = await joinLan(host, 1);
    await w.advance(60_000);
    assert.equal(
      w.trace.some((line) => line.includes(':5353')),
      false,
    );
    const taken = await host.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5353 } });
    await assert.rejects(joinLan(host, 2, { mdns: true }), { code: 'in_use' });
    await taken.close();
    // Its other sockets have been closed.
    await a.lan.close();
    await (await host.network.bindUdp({ bind: { ip: '0.0.0.0', port: 5483 } })).close();
  });

  it('records are cut into strings of a TXT record and put together; what is no record is none', () => {
    for (const length of [1, 179, 180, 181, 900]) {
      const record = Uint8Array.from({ length }, (_, i) => i * 7);
      const texts = recordTxt(record);
      assert.ok(texts.every((text) => text.length <= 255));
      assert.deepEqual(readRecordTxt(texts.toReversed()), record);
    }
    for (const texts of [
      [],
      ['v=1'],
      ['v=2', 'r0=AAAA'],
      ['v=1', 'r0=A'],
      ['v=1', 'r0=A*AA'],
      ['v=1', 'r1=AAAA'],
      ['v=1', 'r0='],
    ]) {
      assert.equal(readRecordTxt(texts), undefined);
    }
  });
});
