/**
 * An endpoint that answers "polo" to every "marco", and sends "marco" to each address on the command line:
 *
 *     node examples/endpoint-marco-polo.ts                   one endpoint that listens, and another that calls it
 *     node examples/endpoint-marco-polo.ts 127.0.0.1:5000    calls that endpoint, and goes on listening
 *
 * Options: `--bind 127.0.0.1:5000`, `--idle-timeout-ms 3600000`, and `--trust-peer-id ID`, which may be repeated.
 */

import { parseArgs } from 'node:util';

import { decodeText, encodeText } from 'shoal/bytes';
import { type Endpoint, openEndpoint } from 'shoal/endpoint';
import type { UdpAddr } from 'shoal/udp';

const { values, positionals: peers } = parseArgs({
  allowPositionals: true,
  options: {
    bind: { type: 'string', default: '127.0.0.1:0' },
    'idle-timeout-ms': { type: 'string', default: '30000' },
    'trust-peer-id': { type: 'string', multiple: true },
  },
});
const peerIds = values['trust-peer-id'];

async function answer(node: Endpoint<UdpAddr>): Promise<void> {
  for await (const { connection, payload, reply } of node.messages()) {
    console.log(`from ${connection.remoteAddr.text}: ${decodeText(payload)}`);
    // A marco that is a request is answered on its stream; a marco that is a message, with another message.
    if (decodeText(payload) !== 'marco') continue;
    if (reply === undefined) await connection.send(encodeText('polo'));
    else await reply.finish(encodeText('polo'));
  }
}

async function call(node: Endpoint<UdpAddr>, address: string): Promise<void> {
  const connection = await node.connect(address);
  const answer = await connection.request(encodeText('marco'));
  console.log(`${address} (${connection.peerId}) says ${decodeText(answer)}`);
}

await using node = await openEndpoint({
  bind: values.bind,
  idleTimeoutMs: Number(values['idle-timeout-ms']),
  ...(peerIds && { trust: { peerIds } }),
});
console.log(`listening on ${node.addr.text} as ${node.peerId}`);
const answering = answer(node);

for (const peer of peers) await call(node, peer);
if (peers.length > 0) await answering; // until Ctrl-C
else {
  await using other = await openEndpoint({ bind: '127.0.0.1:0' });
  await call(other, node.addr.text);
}
