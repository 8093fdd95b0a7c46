/**
 * A js-libp2p node on TCP, Noise and yamux that does what lines of JSON on standard input say, and answers with such lines.
 *
 * {"do":"listen"} → {"addr":"/ip4/127.0.0.1/tcp/…","peer":"12D3…"}; {"do":"ping","addr":…} → {"rttMs":…};
 * {"do":"expect","count":N,"bytes":N}, then {"do":"wait"} → {"received":true} when as much has been flooded;
 * {"do":"identify","addr":…} → {"agent":…,"protocols":[…],"peer":…}; {"do":"flood","addr":…,"count":N,"bytes":N} → {"sent":N}
 */

import { createInterface } from 'node:readline';

import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';

const FLOOD = '/shoal-bench/1';

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { ping: ping(), identify: identify() },
  connectionMonitor: { enabled: false },
});

const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

let received = 0;
let wanted;
let came;
let whole = () => {};
await node.handle(FLOOD, (stream) => {
  stream.addEventListener('message', ({ data }) => {
    received += data.byteLength;
    if (wanted !== undefined && received >= wanted.bytes) {
      wanted = undefined;
      received = 0;
      whole();
    }
  });
});

let floodStream;

async function flood({ addr, count, bytes }) {
  floodStream ??= await node.dialProtocol(multiaddr(addr), FLOOD);
  const message = new Uint8Array(bytes).fill(1);
  for (let i = 0; i < count; i++) if (!floodStream.send(message)) await floodStream.onDrain();
  return { sent: count };
}

async function perform(order) {
  switch (order.do) {
    case 'listen':
      return { addr: node.getMultiaddrs()[0].decapsulate('/p2p').toString(), peer: node.peerId.toString() };
    case 'ping':
      return { rttMs: await node.services.ping.ping(multiaddr(order.addr)) };
    case 'identify': {
      const connection = await node.dial(multiaddr(order.addr));
      const { agentVersion, protocols, peerId } = await node.services.identify.identify(connection);
      return { agent: agentVersion, protocols, peer: peerId.toString() };
    }
    case 'expect':
      wanted = { bytes: order.count * order.bytes };
      came = new Promise((resolve) => {
        whole = resolve;
      });
      return { expecting: true };
    case 'wait':
      await came;
      return { received: true };
    case 'flood':
      return flood(order);
    default:
      throw new Error(`no such order: ${order.do}`);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await perform(JSON.parse(line)));
  } catch (error) {
    say({ error: `${error?.name}: ${error?.message}` });
  }
}
await node.stop();
