/**
 * Let others wage war; thou, happy Austria, marry: ten suitors come one after the other, are heard, and leave. Each end is
 * seen by onDisconnect, and makes room for the next, since only one at a time may call.
 */

import { createNode, lines, onDisconnect, reading, writing } from 'shoal/node';

await using austria = createNode({ security: 'none', codec: lines(), bind: '127.0.0.1:0', maxConnections: 1 });
austria.enable(writing());
let married = 0;
austria.enable(
  reading({
    onMessage: (suitor, proposal) => {
      console.log(`Austria hears: ${proposal}`);
      suitor.send('let us think about it');
    },
  }),
);
const { promise: allLeft, resolve } = Promise.withResolvers<void>();
austria.enable(
  onDisconnect((suitor, { origin, reason }) => {
    console.log(`${suitor.addr} has left (${origin}: ${reason}); ${suitor.stats.received.messages} proposal received`);
    if (++married === 10) resolve();
  }),
);
const addr = await austria.listen();

for (let i = 1; i <= 10; i++) {
  await using suitor = createNode({ security: 'none', codec: lines() });
  const { promise: answered, resolve: hear } = Promise.withResolvers<string>();
  suitor.enable(writing());
  suitor.enable(reading({ onMessage: (_, answer) => hear(answer) }));
  const peer = await suitor.connect(addr);
  peer.send(`house number ${i} has a proposal`);
  await answered;
  await suitor.drain(); // Waits until Austria has closed its half, too, so its place is free.
}
await allLeft;
console.log(`${austria.stats.disconnected} came and went, ${austria.connected} are left`);
