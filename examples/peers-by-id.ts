/** Talks to peers by PeerID alone; where they are is somebody else's business. */

import type { AddrOf, PeerId } from 'shoal';
import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { mbapp } from 'shoal/mbapp';
import { createMemoryRealm } from 'shoal/memory';
import { p2pke } from 'shoal/p2pke';
import { peerSwarm } from 'shoal/peer';

const realm = createMemoryRealm();
const open = () => mbapp(p2pke(realm.swarm(), { privateKey: generateKey() }));
const [a, b] = [open(), open()];

// An address book; a tracker or a DHT would do as well.
const book = new Map<PeerId, readonly AddrOf<typeof b>[]>();
for (const swarm of [a, b]) book.set(swarm.addr.id, swarm.localAddrs());

await using alice = peerSwarm(a, { source: (id) => book.get(id) ?? [] });
await using bob = peerSwarm(b, { source: (id) => book.get(id) ?? [] });

bob.serve(({ src, payload }) => encodeText(`${src.id.slice(0, 6)}… said ${decodeText(payload)}`));
console.log(decodeText(await alice.ask(bob.addr, encodeText('hi'))));
