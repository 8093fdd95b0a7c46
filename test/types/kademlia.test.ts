import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CandidateSource } from 'shoal';
import {
  BucketCache,
  type Dht,
  type DhtContact,
  type DhtFound,
  type DhtOptions,
  type DhtStored,
  type LookupExplanation,
  openDht,
} from 'shoal/kademlia';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm, type MemoryAddr } from 'shoal/memory';
import { peerSwarm } from 'shoal/peer';

const same = <T>(value: T): T => value;

describe('types of shoal/kademlia', () => {
  it('a DHT is a source of candidates over any swarm with keys and asks, and its results are plain data', async () => {
    const realm = createMemoryRealm({ clock: 'virtual' });
    const { publicKey } = generateKey();
    const swarm = realm.secureSwarm(publicKey);
    const options: DhtOptions<MemoryAddr> = { networkName: 'types', kind: () => 'server' };
    const dht = await openDht(swarm, options);
    same<Dht<MemoryAddr>>(dht);
    same<CandidateSource>(dht);
    const found: DhtFound = await realm.clock.run(dht.findNode(dht.id));
    const explain: LookupExplanation = found.explain;
    same<readonly DhtContact[]>(dht.table());
    same<DhtStored>(await realm.clock.run(dht.put(Uint8Array.of(1), Uint8Array.of(2))));
    assert.equal(explain.ended, 'no_peers');
    // @ts-expect-error a network has a name
    const nameless = () => openDht(swarm, {});
    // @ts-expect-error a swarm without keys is none for a DHT
    const keyless = () => openDht(realm.swarm(), options);
    // @ts-expect-error results cannot be changed
    const wrong = (): unknown => (explain.hops = 1);
    const source = () => peerSwarm(swarm, { source: dht });
    assert.deepEqual(
      [nameless, keyless, wrong, source].map((each) => typeof each),
      Array.from({ length: 4 }, () => 'function'),
    );
    await realm.clock.run(dht.close());
  });

  it('a bucket cache knows the type of its values', () => {
    const cache = new BucketCache<{ readonly name: string }>(new Uint8Array(32), 10);
    cache.put(Uint8Array.of(1), { name: 'one' }, 0, Infinity);
    const name: string | undefined = cache.get(Uint8Array.of(1), 0)?.value.name;
    assert.equal(name, 'one');
    // @ts-expect-error another value
    const wrong = () => cache.put(Uint8Array.of(1), 7, 0, Infinity);
    assert.equal(typeof wrong, 'function');
  });
});
