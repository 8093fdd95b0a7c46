/** A ring of nodes over QUIC: each key has one node that is responsible for it, and when that one goes, the next one is. */

import { encodeText } from 'shoal/bytes';
import { type ChordRing, openChord } from 'shoal/chord';
import { generateKey } from 'shoal/keys';
import { openQuicSwarm, type QuicAddr } from 'shoal/quic';
import type { UdpAddr } from 'shoal/udp';

const rings: ChordRing<QuicAddr<UdpAddr>>[] = [];
const addrs: string[] = [];
for (let i = 0; i < 5; i++) {
  const swarm = await openQuicSwarm({ privateKey: generateKey(), bind: '127.0.0.1:0' });
  const ring = openChord(swarm, {
    networkName: 'example',
    bootstrap: addrs.slice(0, 1),
    upkeepMs: 100,
    callTimeoutMs: 500,
  });
  await ring.ready;
  rings.push(ring);
  addrs.push(swarm.addr.text);
}

/** Waits until two nodes name the same owner of a key, and another one than `before`. */
async function agreed(key: Uint8Array, before?: string): Promise<string> {
  for (;;) {
    const [one, other] = await Promise.all([rings[0]!.lookup(key), rings[1]!.lookup(key)]);
    const isAgreed = one.owner.text === other.owner.text && rings.every((ring) => ring.successors.length > 1);
    if (isAgreed && one.owner.text !== before) return one.owner.text;
    // A node that knows the owner answers at once: without a pause nothing else would run.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const key = encodeText('some key');
const owner = await agreed(key);
console.log(`node ${addrs.indexOf(owner)} is responsible for the key`);
const going = rings.findIndex((ring) => ring.inspect().addr === owner);
await rings[going]!.close();
rings.splice(going, 1);
const next = await agreed(key, owner);
console.log(`it has gone: now it is node ${addrs.indexOf(next)}`);
for (const ring of rings) await ring.close();
