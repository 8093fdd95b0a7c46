/** A swarm of the program as a transport of `openPeers`: here one in memory, with addresses of its own. */

import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { openPeers, type Peers } from 'shoal/peers';

const realm = createMemoryRealm();

/** Reached over memory, and over TCP where memory does not lead. */
async function open(): Promise<Peers> {
  const privateKey = generateKey();
  const swarm = realm.secureSwarm(privateKey.publicKey);
  const transports = [{ name: 'memory', swarm, isReliable: true }, 'tcp'] as const;
  return openPeers({ privateKey, bind: '127.0.0.1:0', transports, realm });
}

await using alice = await open();
await using bob = await open();
bob.serve(({ payload }) => encodeText(decodeText(payload)!.toUpperCase()));

// Bob's addresses, as he would tell them: memory://…, tcp://…
for (const addr of bob.addrs) {
  alice.add({ id: bob.id, addr, source: 'example', seenMs: realm.wallMs(), expiresMs: Infinity, trust: 'given' });
}
console.log(decodeText(await alice.ask(bob.id, encodeText('one session, two ways'))));
console.log(
  `over ${alice.list()[0]?.path?.transport}; Bob is at ${bob.addrs.map((addr) => addr.split('://')[0]).join(' and ')}`,
);
