/** A node that reads large messages without a copy: they are lent to the handler, which copies what it keeps. */

import { createNode, lengthDelimited, reading, writing } from 'shoal/node';

const codec = lengthDelimited();
const { promise: done, resolve } = Promise.withResolvers<void>();
const beginnings: Uint8Array[] = [];
let total = 0;

await using server = createNode({ security: 'none', codec, bind: '127.0.0.1:0' });
server.enable(
  reading({
    // `true` in production; `'checked'` overwrites each message when its handler is done, so that a mistake shows.
    borrowed: 'checked',
    onMessage: (_, bytes) => {
      total += bytes.length;
      beginnings.push(bytes.slice(0, 4)); // A `subarray` would show bytes of a later message.
      if (beginnings.length === 3) resolve();
    },
  }),
);

await using client = createNode({ security: 'none', codec });
client.enable(writing());
const connection = await client.connect(await server.listen());
for (const value of [1, 2, 3]) connection.send(new Uint8Array(1_000_000).fill(value));
await done;
console.log(`${total} bytes; the messages began with ${beginnings.map((bytes) => bytes.join(' ')).join(', ')}`);
