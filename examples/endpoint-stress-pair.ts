/**
 * Clients find each other through one node. Each sends the others a large message and then a small one, both with a checksum.
 * Streams are independent, so the small one arrives first.
 */

import { crc32 } from 'node:zlib';
import { decodeText, encodeText } from 'shoal/bytes';
import { type Endpoint, openEndpoint } from 'shoal/endpoint';
import type { UdpAddr } from 'shoal/udp';

const CLIENTS = 3;
const LARGE_BYTES = 10_000_000;
const SMALL_BYTES = 16_384;
const CHECKSUM_BYTES = 4;
const bind = '127.0.0.1:0';

/** A message of so many bytes, behind four with their checksum. */
function checked(bytes: number): Uint8Array {
  const piece = crypto.getRandomValues(new Uint8Array(65_536));
  const message = new Uint8Array(CHECKSUM_BYTES + bytes);
  const body = message.subarray(CHECKSUM_BYTES);
  for (let at = 0; at < bytes; at += piece.length) body.set(piece.subarray(0, bytes - at), at);
  new DataView(message.buffer).setUint32(0, crc32(body));
  return message;
}

/** Sends each client the addresses of the clients before it. */
async function bootstrap(node: Endpoint<UdpAddr>): Promise<void> {
  const known: string[] = [];
  for await (const { payload, reply } of node.messages()) {
    await reply?.finish(encodeText(JSON.stringify(known)));
    known.push(decodeText(payload)!);
  }
}

/** Waits for both messages of each other client. @returns whether the small ones arrived first */
async function receive(client: Endpoint<UdpAddr>, others: number): Promise<boolean> {
  const sizes = new Map<string, number[]>();
  let got = 0;
  for await (const { connection, payload } of client.messages()) {
    const body = payload.subarray(CHECKSUM_BYTES);
    const checksum = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
    if (checksum !== crc32(body)) throw new Error('the checksum is wrong');
    sizes.set(connection.peerId!, [...(sizes.get(connection.peerId!) ?? []), body.length]);
    if (++got === 2 * others) break;
  }
  return [...sizes.values()].every(([first, second]) => first === SMALL_BYTES && second === LARGE_BYTES);
}

await using node = await openEndpoint({ bind });
void bootstrap(node);
const clients: Endpoint<UdpAddr>[] = [];
for (let i = 0; i < CLIENTS; i++) {
  const client = await openEndpoint({ bind });
  clients.push(client);
  const contact = await client.connect(node.addr);
  const answer = await contact.request(encodeText(client.addr.text));
  const known = JSON.parse(decodeText(answer)!) as string[];
  await Promise.all(known.map((address) => client.connect(address)));
}
const receiving = clients.map((client) => receive(client, CLIENTS - 1));
const ids = new Set(clients.map(({ peerId }) => peerId));
const sends = clients.flatMap((client) =>
  client.openConnections().flatMap((connection) => {
    if (!ids.has(connection.peerId!)) return [];
    const large = connection.send(checked(LARGE_BYTES), { acked: true });
    return [large, connection.send(checked(SMALL_BYTES), { acked: true, priority: 1 })];
  }),
);
const smallFirst = await Promise.all(receiving);
await Promise.all(sends);
console.log(
  `${sends.length} messages between ${CLIENTS} clients, all intact; small ones first: ${smallFirst.join(', ')}`,
);
await Promise.all(clients.map((client) => client.close()));
if (smallFirst.includes(false)) throw new Error('a small message waited for a large one');
