/** Messages of multicast DNS: decoded, and taken by a machine that announces and looks. */

import type { Bytes } from '../src/base/bytes.ts';
import { createSeededRandom } from '../src/base/seeded-random.ts';
import { Mdns } from '../src/protocols/mdns/mdns.ts';
import { decodeMdns, encodeMdns, readPtr, readSrv, readTxt } from '../src/protocols/mdns/message.ts';

const random = createSeededRandom(1);
const machine = new Mdns(0, {
  serviceType: '_shoal._udp.local',
  random: (length) => random.bytes(length),
  service: () => ({ port: 5000, txt: ['v=1', 'r0=AAAA'], ips: ['192.0.2.1', 'fe80::1'] }),
});
let now = 0;
const sent: Bytes[] = [];

function drain(): void {
  for (let next = machine.poll(); next.type !== 'wait'; next = machine.poll()) {
    if (next.type === 'transmit' && sent.length < 20) sent.push(next.transmit.bytes);
  }
}

machine.setInterfaces(0, [{ name: 'eth0', networks: '' }]);
for (; now < 5000; now += 10) {
  machine.handleTimeout(now);
  drain();
}

/** What a machine sends by itself: probes, announcements, queries. */
export const mdnsSeeds: readonly Bytes[] = [...sent];

export function feedMdns(input: Bytes): void {
  const message = decodeMdns(input);
  if (message !== undefined) encodeMdns(message);
  readPtr(input);
  readSrv(input);
  readTxt(input);
  now += 20;
  machine.handleDatagram(now, { ip: '192.0.2.9', port: 5353 }, 'eth0', input);
  machine.handleTimeout(now);
  drain();
}
