/** Messages of relays and their clients: decoded, and taken by both machines. */

import type { Bytes } from '../src/base/bytes.ts';
import { createSeededRandom } from '../src/base/seeded-random.ts';
import { memoryAddr, type MemoryAddr } from '../src/net/memory/address.ts';
import { peerIdOfKey } from '../src/identity/keys.ts';
import { RelayClient } from '../src/protocols/relay/client.ts';
import {
  bytesOfPeerId,
  decodeRelayReply,
  encodeGone,
  encodeRefused,
  encodeRelease,
  encodeReserve,
  encodeReserved,
  encodeSend,
} from '../src/protocols/relay/messages.ts';
import { RelayServer } from '../src/protocols/relay/server.ts';
import { testKey } from '../src/testing/test-key.ts';

const random = createSeededRandom(1);
const token = random.bytes(8);
const ids = Array.from({ length: 8 }, (_, i) => peerIdOfKey(testKey(i).publicKey));
const grant = { lifetimeS: 60, bytesPerSecond: 1, mtu: 1232, observed: { ip: '192.0.2.1', port: 1 } };

export const relaySeeds: readonly Bytes[] = [
  encodeReserve(1, token, 1),
  encodeRelease(1, token),
  ...ids.slice(0, 3).map((id) => encodeSend(1, bytesOfPeerId(id), new Uint8Array(20))),
  encodeReserved(1, token, grant),
  encodeRefused(1, token, 'full', 3),
  encodeGone(1, bytesOfPeerId(ids[0]!), 'no_room'),
];

const server = new RelayServer<MemoryAddr>(
  0,
  {
    maxPeers: 3,
    maxPeersPerSource: 2,
    maxMinutes: 1,
    maxGuests: 2,
    bytesPerSecond: 1e6,
    bytesPerSecondPerSource: 1e6,
    totalBytesPerSecond: 1e6,
  },
  false,
);
const client = new RelayClient({ random: (length) => random.bytes(length) });
let now = 0;

export function feedRelay(input: Bytes): void {
  now += 7;
  const { version, message } = decodeRelayReply(input);
  client.reserve(now);
  if (typeof message !== 'string' && message.type !== 'received' && message.type !== 'gone') {
    client.handleReply(now, version, message);
  }
  client.handleTimeout(now);
  while (client.poll().type !== 'wait');
  const n = now % ids.length;
  const host = `10.0.${n % 3}.1`;
  server.handleMessage(now, { id: ids[n]!, addr: memoryAddr(n), host, observed: undefined, mtu: 1232 }, input);
  server.handleTimeout(now);
  while (server.poll().type !== 'wait');
  if (server.guests > 2 || server.reservations > 3)
    throw new Error('the tables of the relay have grown over their bounds');
}
