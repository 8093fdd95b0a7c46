import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { peerIdOfKey } from '../../src/identity/keys.ts';
import { type Dht, openDht } from '../../src/overlay/kademlia/index.ts';
import { createMemoryRealm, type MemoryAddr } from '../../src/swarms/memory/index.ts';
import { p2pke, type P2pkeAddr } from '../../src/swarms/p2pke/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { mux } from '../../src/wrappers/mux.ts';
import { peerSwarm } from '../../src/wrappers/peer.ts';

const idOf = (i: number): string => peerIdOfKey(testKey(i).publicKey);

describe('peerSwarm with a DHT as its source', () => {
  it('reaches a peer by its PeerID alone, over p2pke', async () => {
    const realm = createMemoryRealm({ clock: 'virtual', seed: 1, netem: { latencyMs: 5 } });
    const secure = [0, 1, 2].map((i) => mbapp(p2pke(realm.swarm(i), { privateKey: testKey(i) })));
    const channels = secure.map((swarm) => mux(swarm, 'string'));
    const dhts: Dht<P2pkeAddr<MemoryAddr>>[] = [];
    for (const [i, each] of channels.entries()) {
      const bootstrap = i === 0 ? [] : [`${idOf(0)}@0`];
      const dht = await openDht(each.open('dht'), { networkName: 'test', privateKey: testKey(i), bootstrap });
      await realm.clock.run(dht.ready);
      dhts.push(dht);
    }
    const [alice, bob] = [1, 2].map((i) => peerSwarm(channels[i]!.open('app'), { source: dhts[i]! }));
    bob!.serve(({ payload }) => payload);
    await realm.clock.run(dhts[2]!.announce());
    await realm.clock.advance(5000);
    const answer = await realm.clock.run(alice!.ask(idOf(2), encodeText('hello')));
    assert.equal(decodeText(answer), 'hello');
    await realm.clock.run(Promise.all(secure.map((swarm) => swarm.close())));
  });
});
