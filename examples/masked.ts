/** The same messages, once as they are and once masked: what somebody on the way sees of them. */

import { generateKey, peerIdOfKey } from 'shoal/keys';
import { mask } from 'shoal/mask';
import { createMemoryRealm } from 'shoal/memory';
import { p2pke } from 'shoal/p2pke';

const realm = createMemoryRealm();
const key = realm.random(32); // Both sides have it.
const nobody = peerIdOfKey(generateKey().publicKey);

for (const isMasked of [false, true]) {
  const [below, eye] = [realm.swarm(), realm.swarm()];
  const alice = p2pke(isMasked ? mask(below, { key }) : below, { privateKey: generateKey() });
  const seen: Uint8Array[] = [];
  eye.listen(({ payload }) => void seen.push(payload));
  // Nobody answers there, so this is the first datagram of a handshake.
  await alice
    .tell(alice.parseAddr(`${nobody}@${eye.addr.text}`), new Uint8Array(1), { timeoutMs: 50 })
    .catch(() => undefined);
  const first = Buffer.from(seen[0]!);
  console.log(isMasked ? 'masked:' : 'plain: ', first.length, 'bytes,', first.subarray(0, 16).toString('hex'));
  await Promise.all([alice.close(), eye.close()]);
}
