/** Sends a body that is too large to buffer as a Web Stream: neither end holds more than its windows. */

import { createHash } from 'node:crypto';
import { decodeText, encodeText } from 'shoal/bytes';
import { openEndpoint } from 'shoal/endpoint';

const CHUNKS = 512;
const CHUNK_BYTES = 65_536; // 32 MiB together; a file's `readableWebStream()` works as well

await using alice = await openEndpoint({ bind: '127.0.0.1:0' });
await using bob = await openEndpoint({ bind: '127.0.0.1:0' });

async function receive(): Promise<void> {
  for await (const connection of bob.connections()) {
    for await (const { receive: body, send } of connection.streams()) {
      const hash = createHash('sha256');
      let bytes = 0;
      for await (const chunk of body.readable) {
        hash.update(chunk);
        bytes += chunk.length;
      }
      await send?.finish(encodeText(`${bytes} bytes, ${hash.digest('hex')}`));
    }
  }
}
void receive();

const hash = createHash('sha256');
let sent = 0;
const source = new ReadableStream<Uint8Array>({
  pull: (controller) => {
    if (sent++ === CHUNKS) {
      controller.close();
      return;
    }
    const chunk = new Uint8Array(CHUNK_BYTES).fill(sent);
    hash.update(chunk);
    controller.enqueue(chunk);
  },
});

const connection = await alice.connect(bob.addr);
const { send, receive: answer } = await connection.openBi();
await source.pipeTo(send.writable);
const got = decodeText((await answer.next())!);
console.log(`bob got ${got}`);
if (got !== `${CHUNKS * CHUNK_BYTES} bytes, ${hash.digest('hex')}`)
  throw new Error('bob received something else than what was sent');
