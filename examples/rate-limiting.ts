/** Two ways to deal with peers that send too much: a rate that the node keeps, and a rule of one's own over its counts. */

import { createNode, lines, type Node, reading, writing } from 'shoal/node';

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** A peer that says something every so many milliseconds until its connection ends. */
async function chatter(addr: string, everyMs: number): Promise<Node> {
  const node = createNode({ security: 'none', codec: lines() });
  node.enable(writing());
  node.enable(reading({ onMessage: () => undefined })); // Who does not read does not see the end.
  const peer = await node.connect(addr);
  const timer = setInterval(() => peer.state === 'open' && peer.send('chat'), everyMs);
  void peer.closed.then(() => clearInterval(timer));
  return node;
}

// A rule of one's own: once in a while, whoever sends three times the average has to go.
await using hub = createNode({ security: 'none', codec: lines(), bind: '127.0.0.1:0' });
hub.enable(reading({ onMessage: () => undefined }));
const addr = await hub.listen();
const peers = await Promise.all(Array.from({ length: 9 }, (_, i) => chatter(addr, i === 4 ? 2 : 40)));
for (let round = 0; round < 3; round++) {
  const before = new Map(hub.connections().map((peer) => [peer, peer.stats.received.messages]));
  await pause(200);
  const rates = [...before].map(([peer, count]) => ({ peer, perSecond: (peer.stats.received.messages - count) * 5 }));
  const average = rates.reduce((sum, { perSecond }) => sum + perSecond, 0) / rates.length;
  for (const { peer, perSecond } of rates) {
    if (perSecond <= 3 * average) continue;
    console.log(`${peer.addr} sends ${perSecond} messages a second, the average is ${average.toFixed(0)}: goodbye`);
    await peer.disconnect();
  }
}
await Promise.all(peers.map((peer) => peer.close()));

// A rate that the node keeps: reading stops until the peer may go on, so TCP slows it down.
await using strict = createNode({ security: 'none', codec: lines(), bind: '127.0.0.1:0' });
let heard = 0;
strict.enable(reading({ onMessage: () => void heard++, rate: { messagesPerSecond: 50 } }));
const fast = await chatter(await strict.listen(), 1);
await pause(1000);
console.log(`at 50 messages a second, with a burst of 50, a second let ${heard} of about 1000 through`);
await fast.close();
