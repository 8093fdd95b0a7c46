/**
 * Two peers behind NATs, in virtual time: which kinds of NAT let them meet when both send at once? Each asks a server as whom
 * it is seen, and answers whoever comes. Nothing here knows that the network is a virtual one.
 */

import { createMemoryRealm } from 'shoal/memory';
import { createVirtualInternet, type NatKind, type VirtualHost } from 'shoal/testing';
import { openUdpSwarm, type UdpAddr } from 'shoal/udp';

const KINDS: readonly NatKind[] = ['open', 'full', 'address', 'port', 'random', 'udp-blocked'];

const open = ({ realm, network }: VirtualHost) => openUdpSwarm({ realm, network });

async function meet(a: NatKind, b: NatKind): Promise<boolean> {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const net = createVirtualInternet({ realm, seed: 1 });
  const server = await open(net.host());
  const swarms = [await open(net.host({ behind: net.nat(a) })), await open(net.host({ behind: net.nat(b) }))] as const;

  // As whom is each of them seen?
  const seen: (UdpAddr | undefined)[] = [];
  server.listen(({ src, payload }) => void (seen[payload[0]!] = src));
  for (const [i, swarm] of swarms.entries()) await swarm.tell(server.addr, Uint8Array.of(i));
  await realm.clock.advance(100);

  // Both send to each other, and to wherever the other's datagrams come from.
  const targets = [seen[1], seen[0]];
  const heard = [false, false];
  for (const [i, swarm] of swarms.entries()) {
    swarm.listen(({ src }) => {
      heard[i] = true;
      targets[i] = src;
    });
  }
  for (let round = 0; round < 5; round++) {
    for (const [i, swarm] of swarms.entries()) if (targets[i]) await swarm.tell(targets[i], Uint8Array.of(round));
    await realm.clock.advance(50);
  }
  await realm.clock.run(Promise.all([server, ...swarms].map((swarm) => swarm.close())));
  return heard.every(Boolean);
}

console.log(['', ...KINDS].map((kind) => kind.padEnd(12)).join(''));
for (const a of KINDS) {
  const verdicts: string[] = [];
  for (const b of KINDS) verdicts.push(((await meet(a, b)) ? 'meet' : '-').padEnd(12));
  console.log(a.padEnd(12) + verdicts.join(''));
}
