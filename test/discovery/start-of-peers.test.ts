/** How `openPeers` begins: from contacts, from its cache, and what it says of those that do not let it in. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { decodeText } from '../../src/base/bytes.ts';
import type { PeerCacheStore } from '../../src/discovery/index.ts';
import type { Peers } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

/** The disk of a node. */
class Disk implements PeerCacheStore {
  bytes: Uint8Array | undefined;

  load(): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.bytes);
  }

  save(bytes: Uint8Array): Promise<void> {
    this.bytes = bytes;
    return Promise.resolve();
  }
}

const addrOf = ({ addrs }: Peers): string => addrs[0]!;

describe('the start of openPeers', () => {
  it('says of each contact why it did not let it in, and goes on to one that does', async () => {
    const w = new PeersWorld({ seed: 31, trace: undefined });
    const networkName = 'blue';
    const other = await w.open(2, w.net.host(), { networkName: 'red' });
    const denying = await w.open(3, w.net.host(), { networkName, lists: { deny: [idOf(1)] } });
    const closed = await w.open(4, w.net.host(), { networkName, acceptBootstrap: false });
    const good = await w.open(5, w.net.host(), { networkName });
    const mute = w.net.host();
    await w.listener(mute, 4000);
    const contacts = [
      ...[other, denying, closed, good].map(addrOf),
      addrOf(good).replace(idOf(5), idOf(77)),
      `tcp://${idOf(8)}@${mute.ip}:4000`,
      `tcp://${idOf(9)}@60.0.0.1:4000`,
      `${idOf(1)}@60.0.0.2:4000`,
      addrOf(good)
        .replace(idOf(5), idOf(10))
        .replace(/:[0-9]+$/, ':1'),
    ];
    const blacklist = [idOf(10)];
    const alice = await w.open(1, w.net.host(), { networkName, contacts, blacklist, fallbackAfterMs: 0 });
    const { peers, refused } = await w.run(alice.ready);
    assert.deepEqual(
      peers.map(({ id }) => id),
      [idOf(5)],
    );
    const reasons = Object.fromEntries(refused.map(({ candidate, reason }) => [candidate.id!, reason] as const));
    assert.deepEqual(reasons, {
      [idOf(2)]: 'wrong_network',
      [idOf(3)]: 'denied',
      [idOf(4)]: 'denied',
      [idOf(77)]: 'wrong_key',
      [idOf(8)]: 'silent',
      [idOf(9)]: 'unreachable',
      [idOf(10)]: 'blacklisted',
    });
    const textOf = (i: number): string => refused.find(({ candidate }) => candidate.id === idOf(i))!.text;
    assert.match(textOf(2), /^tcp:.* \(contacts\) belongs to another network/);
    assert.match(textOf(4), /denied the connection: this node takes no bootstrap requests/);
    await w.close();
  });

  it('needs no contacts the next time: its cache has the peer, with the proof that it was dialled', async () => {
    const w = new PeersWorld({ seed: 32, trace: undefined });
    const disk = new Disk();
    const host = w.net.host();
    const bob = await w.open(2);
    const first = await w.open(1, host, { cache: { store: disk }, contacts: [addrOf(bob)] });
    await w.run(first.ready);
    await w.run(first.close());
    assert.match(decodeText(disk.bytes!)!, /"proof":"dialled"/);
    const next = await w.open(1, host, { cache: { store: disk }, minPeers: 1 });
    const { peers } = await w.run(next.ready);
    assert.deepEqual(
      peers.map(({ id, candidate }) => [id, candidate.source]),
      [[idOf(2), 'cache']],
    );
    await w.close();
  });

  it('of two networks with one cache and one LAN never meet', async () => {
    const w = new PeersWorld({ seed: 33, trace: undefined });
    const lan = w.net.lan();
    const disk = new Disk();
    const more = { lan: true, minPeers: 1 } as const;
    const [blue, red] = await Promise.all(
      ['blue', 'red'].map((networkName, i) => w.open(2 + i, w.net.host({ behind: lan }), { networkName, ...more })),
    );
    w.directory.addrs.clear();
    for (const networkName of ['blue', 'red', 'blue']) {
      const host = w.net.host({ behind: lan });
      const alice = await w.open(1, host, { networkName, cache: { store: disk }, ...more });
      w.directory.addrs.clear();
      const { peers } = await w.run(alice.ready);
      await w.advance(5000);
      const own = networkName === 'blue' ? blue : red;
      assert.deepEqual(
        [peers.map(({ id }) => id), alice.list().map(({ id }) => id)],
        [[own!.id], [own!.id]],
        networkName,
      );
      await w.run(alice.close());
    }
    await w.close();
  });

  it('goes on looking when nobody answered: a contact that comes up later is found without the program doing anything', async () => {
    const w = new PeersWorld({ seed: 35, trace: undefined });
    const place = w.net.host();
    const addr = `tcp://${idOf(2)}@${place.ip}:4000`;
    const alice = await w.open(1, w.net.host(), { contacts: [addr], minPeers: 1 });
    assert.deepEqual((await w.run(alice.ready)).peers, []);
    await w.advance(60_000);
    assert.deepEqual(alice.list(), []);
    await w.open(2, place, { bind: '0.0.0.0:4000', transports: ['tcp'] });
    // The fifth try is 75 s after the start.
    await w.advance(25_000);
    assert.deepEqual(
      alice.list().map(({ id }) => id),
      [idOf(2)],
    );
    await w.close();
  });

  it('is ready after two seconds on a LAN where nobody is', async () => {
    const w = new PeersWorld({ seed: 34, trace: undefined });
    const alice = await w.open(1, w.net.host({ behind: w.net.lan() }), { lan: true });
    const { peers, tookMs } = await w.run(alice.ready);
    assert.deepEqual([peers, tookMs], [[], 2000]);
    await w.close();
  });
});
