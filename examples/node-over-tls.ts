/** A node whose connections are encrypted, and where each side knows the other by key. */

import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError } from 'shoal';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { createNode, lengthDelimited, reading, tls, writing } from 'shoal/node';

const [alice, bob, mallory] = [generateKey(), generateKey(), generateKey()];
const [aliceId, bobId] = [peerIdOfKey(alice.publicKey), peerIdOfKey(bob.publicKey)];
const codec = lengthDelimited();
const { promise: heard, resolve } = Promise.withResolvers<string>();

await using server = createNode({
  security: tls({ privateKey: bob }),
  accept: ({ id }) => id === aliceId,
  codec,
  bind: '127.0.0.1:0',
});
server.enable(
  reading({
    onMessage: (connection, bytes) => resolve(`"${decodeText(bytes)}" from ${peerIdOfKey(connection.publicKey!)}`),
  }),
);
const addr = await server.listen();

await using client = createNode({ security: tls({ privateKey: alice }), accept: ({ id }) => id === bobId, codec });
client.enable(writing());
const connection = await client.connect(addr);
connection.send(encodeText('nobody else can read this'));
console.log(`bob hears ${await heard}`);

// Mallory has another key: Bob ends her connection. And she does not talk to Bob when she expects Alice.
await using stranger = createNode({ security: tls({ privateKey: mallory }), accept: ({ id }) => id === aliceId });
try {
  await stranger.connect(addr);
} catch (error) {
  if (!P2PError.is(error, 'refused')) throw error;
  console.log(error.message);
}
