/**
 * Two peers that know each other by public key talk over UDP: everything is encrypted, and whoever answers at Bob's address
 * without Bob's key is found out. Run it with `node --conditions=shoal-source`.
 */

import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError, receiveOne } from 'shoal';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { p2pke, p2pkeAddr } from 'shoal/p2pke';
import { openUdpSwarm } from 'shoal/udp';

const bind = '127.0.0.1:0';
await using alice = p2pke(await openUdpSwarm({ bind }), { privateKey: generateKey() });
await using bob = p2pke(await openUdpSwarm({ bind }), {
  privateKey: generateKey(),
  accept: ({ addr }) => {
    console.log(`bob is called by ${addr.text}`);
    return true;
  },
});

bob.listen(({ src, payload }) => {
  console.log(`bob hears "${decodeText(payload)}" from ${src.id}`);
  return bob.tell(src, encodeText('hello, whoever you are'));
});
const answered = receiveOne(alice);

const bobAddr = bob.addr; // <PeerID>@127.0.0.1:<port>: hand it to others as text
await alice.tell(alice.parseAddr(bobAddr.text), encodeText('hello, bob'));
console.log(`alice hears "${decodeText((await answered).payload)}"`);

const someoneElse = p2pkeAddr(peerIdOfKey(generateKey().publicKey), bobAddr.inner);
try {
  await alice.tell(someoneElse, encodeText('for your eyes only'));
} catch (error) {
  if (!P2PError.is(error)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
