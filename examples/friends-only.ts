/** Lets only friends through, and changes one's mind while running. */

import { generateKey, peerIdOfKey } from 'shoal/keys';
import { allow, createPeerList } from 'shoal/allow';
import { createMemoryRealm } from 'shoal/memory';
import { p2pke } from 'shoal/p2pke';

const realm = createMemoryRealm();
const [aliceKey, bobKey] = [generateKey(), generateKey()];
const friends = createPeerList({ allow: [peerIdOfKey(bobKey.publicKey)] });
await using alice = allow(p2pke(realm.swarm(), { privateKey: aliceKey }), friends);
await using bob = p2pke(realm.swarm(), { privateKey: bobKey });

const dst = alice.parseAddr(bob.addr.text);
await alice.tell(dst, Uint8Array.of(1));
console.log('bob is a friend: told');

friends.deny(peerIdOfKey(bobKey.publicKey));
await alice.tell(dst, Uint8Array.of(2)).catch((error: Error) => console.log('not any more:', error.message));
