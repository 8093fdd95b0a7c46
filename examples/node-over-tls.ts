/** A node whose connections are encrypted, and where each side knows the other by key. */

import { decodeText, encodeText, P2PError } from 'shoal';
import { generateKey, peerIdOf } from 'shoal/keys';
import { createNode, lengthDelimited, reading, tls, writing } from 'shoal/node';

const [alice, bob, mallory] = [generateKey(), generateKey(), generateKey()];
const codec = lengthDelimited();
const { promise: heard, resolve } = Promise.withResolvers<string>();

await using server = createNode({ bind: '127.0.0.1:0' });
server.enable(tls({ privateKey: bob, verify: (key) => peerIdOf(key) === peerIdOf(alice.publicKey) }));
server.enable(
  reading({
    codec,
    onMessage: (peer, bytes) => resolve(`"${decodeText(bytes)}" from ${peerIdOf(peer.publicKey!)}`),
  }),
);
const addr = await server.listen();

await using client = createNode();
client.enable(tls({ privateKey: alice, verify: (key) => peerIdOf(key) === peerIdOf(bob.publicKey) }));
const out = client.enable(writing({ codec }));
out.send(await client.connect(addr), encodeText('nobody else can read this'));
console.log(`bob hears ${await heard}`);

// Mallory has another key: she finds the door closed, and so does whoever answers with another key than Bob's.
await using stranger = createNode();
stranger.enable(tls({ privateKey: mallory, verify: (key) => peerIdOf(key) === peerIdOf(alice.publicKey) }));
try {
  await stranger.connect(addr);
} catch (error) {
  if (!P2PError.is(error, 'identity_mismatch')) throw error;
  console.log(error.message);
}
