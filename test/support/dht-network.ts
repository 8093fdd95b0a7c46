/** DHTs in a memory realm in virtual time. */

import {
  type MemoryAddr,
  createMemoryRealm,
  type MemoryRealm,
  type MemoryRealmOptions,
} from '../../src/swarms/memory/index.ts';
import { type Dht, type DhtOptions, openDht } from '../../src/overlay/kademlia/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** A network of DHT nodes. */
export interface DhtNetwork extends AsyncDisposable {
  readonly realm: MemoryRealm<VirtualClock>;
  readonly nodes: Dht<MemoryAddr>[];
  /** Opens one more node; it begins from node 0, unless told otherwise. */
  open(options?: Partial<DhtOptions<MemoryAddr>>): Promise<Dht<MemoryAddr>>;
  /** Lets time go on until a promise settles. */
  readonly run: <T>(promise: PromiseLike<T>) => Promise<T>;
}

/** The number of the key of a network's node 0. */
export const FIRST_KEY = 1000;

/** Opens nodes that all begin from the first; joined when it resolves. */
export async function dhtNetwork(
  count: number,
  options: Partial<DhtOptions<MemoryAddr>> = {},
  realmOptions: Omit<MemoryRealmOptions, 'clock'> = {},
): Promise<DhtNetwork> {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1, ...realmOptions });
  const nodes: Dht<MemoryAddr>[] = [];
  const network: DhtNetwork = {
    realm,
    nodes,
    async open(more = {}) {
      const privateKey = testKey(FIRST_KEY + nodes.length);
      const swarm = realm.secureSwarm(privateKey.publicKey, nodes.length);
      const bootstrap = nodes.length === 0 ? [] : ['0'];
      const dht = await openDht(swarm, { networkName: 'test', privateKey, bootstrap, ...options, ...more });
      nodes.push(dht);
      return dht;
    },
    run: (promise) => realm.clock.run(promise, { limitMs: 3_600_000 }),
    async [Symbol.asyncDispose]() {
      await network.run(Promise.all(nodes.map((node) => node.close())));
    },
  };
  for (let i = 0; i < count; i++) await network.run((await network.open()).ready);
  return network;
}
