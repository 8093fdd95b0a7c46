/**
 * Finding peers by beacons, in the bytes of Rust's pea2pea: the text PEA2PEA_DISCO and a TCP port, as a datagram, once a
 * while; whoever hears one dials that port, and greets in frames with two bytes of length. There the beacons are broadcast;
 * here they go to loopback only.
 */

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { concatBytes, decodeText, encodeText } from 'shoal/bytes';
import { createNode, lengthDelimited, type Node, reading, writing } from 'shoal/node';

const MAGIC = encodeText('PEA2PEA_DISCO');
const codec = lengthDelimited({ prefixBytes: 2 });
const PEERS = 3;

interface Peer {
  readonly node: Node;
  readonly socket: Socket;
  readonly port: number;
}

let greetings = 0;
const { promise: everybodyMet, resolve } = Promise.withResolvers<void>();

async function peer(): Promise<Peer> {
  const node = createNode({ security: 'none', codec, bind: '127.0.0.1:0' });
  node.enable(writing());
  node.enable(
    reading({
      onMessage: (from, bytes) => {
        console.log(`node ${node.name} hears "${decodeText(bytes)}" from ${from.addr}`);
        if (++greetings === PEERS * (PEERS - 1)) resolve();
      },
    }),
  );
  const port = Number((await node.listen()).split(':')[1]);
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.on('message', (datagram, { address }) => {
    if (datagram.length !== MAGIC.length + 2 || !MAGIC.every((byte, i) => byte === datagram[i])) return;
    const there = datagram.readUInt16BE(MAGIC.length);
    const addr = `${address}:${there}`;
    // Its own beacons, and those of peers it knows.
    if (there === port || node.connection(addr) !== undefined || node.isConnecting(addr)) return;
    node.connect(addr).then(
      (found) => found.send(encodeText('I see you!')),
      (error: unknown) => console.log(String(error)),
    );
  });
  return { node, socket, port };
}

const peers = await Promise.all(Array.from({ length: PEERS }, peer));
const beacon = setInterval(() => {
  for (const from of peers) {
    const datagram = concatBytes(MAGIC, Uint8Array.of(from.port >> 8, from.port & 0xff));
    for (const { socket } of peers) from.socket.send(datagram, socket.address().port, '127.0.0.1');
  }
}, 50);
await everybodyMet;
clearInterval(beacon);
for (const { node, socket } of peers) {
  socket.close();
  await node.close();
}
