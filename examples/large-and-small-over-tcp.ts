/**
 * Asks and a large transfer over one TCP connection: the transfer goes in parts, and the asks pass between them. Run it with
 * `node --conditions=shoal-source`.
 */

import { generateKey } from 'shoal/keys';
import { openTcpSwarm } from 'shoal/tcp';

await using alice = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
await using bob = await openTcpSwarm({ bind: '127.0.0.1:0', privateKey: generateKey() });
const bobAddr = bob.addr;

let received = 0;
bob.listen(({ src, payload }) => {
  received += payload.length;
  console.log(`bob has ${payload.length} bytes from ${src.text}`);
});
bob.serve(({ payload }) => payload);

// The large message is less urgent than what comes later.
const transfer = alice.tell(bobAddr, new Uint8Array(16_000_000), { priority: -1 });
for (let i = 0; i < 5; i++) {
  const answer = await alice.ask(bobAddr, Uint8Array.of(i));
  console.log(`answer ${answer[0]}, ${received === 0 ? 'while' : 'after'} the transfer was under way`);
}
await transfer;
await alice.drain();
if (received !== 16_000_000) throw new Error('the transfer should have arrived');
