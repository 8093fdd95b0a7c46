/** A node that knows one contact at its first start, and none at the second: the cache has its peers. */

import { bootstrap, contacts, openPeerCache } from 'shoal/discovery';
import { generateKey } from 'shoal/keys';
import { openTcpSwarm } from 'shoal/tcp';

const bob = await openTcpSwarm({ privateKey: generateKey(), bind: '127.0.0.1:0' });
const privateKey = generateKey();
// In a real program a file: `path: 'peers.json'`.
let disk: Uint8Array | undefined;
const store = { load: async () => disk, save: async (bytes: Uint8Array) => void (disk = bytes) };

async function start(list: readonly string[]): Promise<string> {
  const alice = await openTcpSwarm({ privateKey, bind: '127.0.0.1:0' });
  const cache = await openPeerCache({ store, networkName: 'next-start' });
  const run = bootstrap({
    self: alice.addr.id,
    ownAddrs: () => alice.localAddrs().map(({ text }) => text),
    minPeers: 1,
    sources: [
      { name: 'cache', source: cache },
      { name: 'contacts', source: contacts(list) },
    ],
    attempt: async ({ addr }, { signal }) => {
      await alice.lookupPublicKey(addr, { signal });
      return { peer: alice.parseAddr(addr).id, proof: 'dialled' };
    },
  });
  const { peers } = await run.ready;
  await cache.close();
  await alice.close();
  return peers
    .map(({ id, candidate }) => `${id === bob.addr.id ? 'Bob' : 'somebody'} by the ${candidate.source}`)
    .join();
}

console.log('first start:', await start([bob.addr.text]));
console.log('next start:', await start([]));
await bob.close();
