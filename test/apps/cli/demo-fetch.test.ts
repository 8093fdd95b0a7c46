import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Addr } from 'shoal';
import { type PrivateKey } from 'shoal/keys';
import { mbapp } from 'shoal/mbapp';
import { type MemoryRealm, createMemoryRealm, memoryAddr } from 'shoal/memory';
import { type VirtualClock } from 'shoal/testing';
import { multi } from 'shoal/multi';
import { mux } from 'shoal/mux';
import { p2pke } from 'shoal/p2pke';
import { testKey } from 'shoal/testing';
import { BLOB_BYTES, type Fetched, fetchBlob } from '../../../apps/cli/src/demo/blob.ts';
import { DemoPeer } from '../../../apps/cli/src/demo/demo-peer.ts';
import { type DemoSwarm } from '../../../apps/cli/src/demo/links.ts';

type World = MemoryRealm<VirtualClock>;

const QUIC_HOST = 100;

/** The links of peer number `i`, in memory: `p2pke` at host `i`, `quic` at host 100 + `i`. */
function links(realm: World, privateKey: PrivateKey, i: number): DemoSwarm {
  const link = (host: number) => mbapp(p2pke(realm.swarm(host), { privateKey }));
  return multi({ p2pke: link(i), quic: link(QUIC_HOST + i) }) as unknown as DemoSwarm;
}

/** A peer without traffic of its own; it greets, answers and fetches. */
function quietPeer(realm: World, i: number, onFound?: (peer: DemoPeer) => void, bootstrap?: DemoPeer) {
  const privateKey = testKey(i);
  const swarm = links(realm, privateKey, i);
  const peer: DemoPeer = new DemoPeer(swarm, privateKey, {
    name: `peer-${i}`,
    bootstrap: bootstrap?.info.addrs[0],
    onChange: (change, { name }) => {
      if (change === 'found' && name === 'peer-3') onFound?.(peer);
    },
  });
  peer.quiet();
  return { peer, swarm };
}

describe('a fetch of the demo', () => {
  it('asks a peer for its address over QUIC when others have handed on another one only', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const bootstrap = quietPeer(realm, 1);
    // The bootstrap peer reaches the third one over p2pke only, so it hands on no other address of it.
    realm.cut(memoryAddr(QUIC_HOST + 1), memoryAddr(QUIC_HOST + 3));
    const sender = quietPeer(realm, 3, undefined, bootstrap.peer);
    await realm.clock.run(sender.peer.join());

    const { promise, resolve } = Promise.withResolvers<Fetched>();
    const receiver = quietPeer(realm, 2, (peer) => resolve(peer.fetch(sender.peer.info.id)), bootstrap.peer);
    await realm.clock.run(receiver.peer.join());
    assert.equal((await realm.clock.run(promise)).bytes, BLOB_BYTES);
    await Promise.all([bootstrap, sender, receiver].map(({ swarm }) => swarm.close()));
  });

  it('asks again for a piece whose answer was lost', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
    const sender = quietPeer(realm, 3);
    const receiver = links(realm, testKey(2), 2);
    const asker = mux<Addr, DemoSwarm, 'string'>(receiver, 'string').open('demo');
    const [, dst] = sender.swarm.localAddrs();
    let cuts = 0;
    const fetched = fetchBlob(asker, dst!, realm, (bytes) => {
      if (bytes < BLOB_BYTES / 2 || cuts > 0) return;
      cuts++;
      realm.cut();
      realm.clock.setTimer(realm.nowMs() + 9000, () => realm.heal());
    });
    const { bytes, ms } = await realm.clock.run(fetched);
    assert.equal(bytes, BLOB_BYTES);
    assert.equal(cuts, 1);
    assert(ms > 10_000, `${ms} ms of virtual time: no call has timed out`);
    await Promise.all([sender.swarm.close(), receiver.close()]);
  });
});
