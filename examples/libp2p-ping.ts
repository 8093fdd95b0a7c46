/**
 * libp2p on the TCP node: two hosts that speak multistream-select, Noise with verified identities, yamux, ping and identify.
 * With an address and a peer id it dials any libp2p node on TCP instead:
 * `node --conditions=shoal-source examples/libp2p-ping.ts 127.0.0.1:4001 12D3…`
 */

import { generateKey } from 'shoal/keys';
import { Libp2pHost } from './libp2p/host.ts';
import { identify } from './libp2p/identify.ts';

await using alice = new Libp2pHost(generateKey());
await using bob = new Libp2pHost(generateKey());
const [addr = await bob.node.listen(), id = bob.id] = process.argv.slice(2);

const peer = await alice.dial(addr, id);
console.log(`connected to ${peer.id}, which has proven to be it`);
const { agent, protocols } = await identify(peer);
console.log(`it is ${agent ?? 'nobody in particular'} and speaks ${protocols.join(', ')}`);
for (const style of ['window', 'data'] as const) {
  console.log(`ping, stream opened with ${style}: ${(await alice.ping(peer, style)).toFixed(2)} ms`);
}

await using carol = new Libp2pHost(generateKey());
try {
  await carol.dial(addr, alice.id);
  throw new Error('somebody else than alice is there');
} catch (error) {
  console.log(error instanceof Error ? error.message.replaceAll(/12D3\w+/g, (text) => `${text.slice(0, 12)}…`) : error);
}
