/** Messages as an async iterator: bounded, and the loop says what happens when it is too slow. */

import { decodeText, encodeText } from 'shoal/bytes';
import { messages } from 'shoal';
import { openUdpSwarm } from 'shoal/udp';

const bind = '127.0.0.1:0';
await using alice = await openUdpSwarm({ bind });
await using bob = await openUdpSwarm({ bind });

const inbox = messages(bob, { capacity: 100, overflow: 'drop-oldest' });
for (const word of ['one', 'two', 'three', 'stop']) await alice.tell(bob.addr, encodeText(word));

for await (const { src, payload } of inbox) {
  const text = decodeText(payload);
  console.log(`${text} from ${src.text}`);
  if (text === 'stop') break; // leaving the loop detaches it from the swarm
}
console.log(`${inbox.dropped} messages were given up for want of room`);
