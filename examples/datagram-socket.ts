/** A swarm as a datagram socket, for code that wants to read rather than be called: whole datagrams, with deadlines. */

import { P2PError } from 'shoal';
import { generateKey } from 'shoal/keys';
import { p2pke } from 'shoal/p2pke';
import { packetSocket } from 'shoal/packet-socket';
import { openUdpSwarm } from 'shoal/udp';

const open = async () =>
  packetSocket(p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), { privateKey: generateKey() }));
await using alice = await open();
await using bob = await open();

await alice.writeTo(new TextEncoder().encode('hello, socket'), bob.localAddr);
const buffer = new Uint8Array(5);
try {
  await bob.readInto(buffer, { timeoutMs: 5000 });
} catch (error) {
  // Never cut off: the datagram stays for a larger buffer.
  if (!P2PError.is(error, 'limit_exceeded')) throw error;
  console.log(`too small: ${error.message}`);
}
const { data, src } = await bob.readFrom({ timeoutMs: 5000 });
console.log(`${new TextDecoder().decode(data)}, sealed, from ${src.id === alice.localAddr.id ? 'alice' : 'somebody'}`);

const reading = bob.readFrom();
bob.setReadDeadline(50);
await reading.catch((error: unknown) =>
  console.log(P2PError.is(error, 'timeout') ? 'nothing more came in time' : error),
);
