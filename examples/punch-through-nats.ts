/**
 * Two peers behind NATs punch a hole over UDP, in virtual time, and talk through it: between NATs that filter by port, where one of
 * them gives each destination a random port, and where both do, which nothing but a relay can help. The offers go by hand here; programs send
 * them over any session that works, such as a relayed one.
 */

import { P2PError } from 'shoal';
import { encodeText } from 'shoal/bytes';
import { createMemoryRealm } from 'shoal/memory';
import { openObserver, punching, udpPuncher } from 'shoal/nat';
import { formatSocketAddress, type SocketAddress } from 'shoal/net';
import { createVirtualInternet, type NatKind } from 'shoal/testing';
import { openUdpSwarm } from 'shoal/udp';

async function meet(a: NatKind, b: NatKind): Promise<string> {
  const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
  const net = createVirtualInternet({ realm, seed: 1 });
  const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);

  // Public hosts tell the peers under which addresses they are seen.
  const observers: SocketAddress[] = [];
  for (let i = 0; i < 3; i++) {
    const { network, ip, realm: time } = net.host();
    await run(openObserver({ bind: `${ip}:3478`, network, realm: time }));
    observers.push({ ip, port: 3478 });
  }

  const peer = async (kind: NatKind) => {
    const nat = net.nat(kind);
    const host = net.host({ behind: nat });
    const network = punching(host.network);
    const swarm = await run(openUdpSwarm({ network, realm: host.realm, bind: '0.0.0.0:4000' }));
    const puncher = udpPuncher({ network, port: 4000, realm: host.realm, observers: () => observers });
    return { nat, swarm, puncher };
  };
  const [alice, bob] = [await peer(a), await peer(b)];
  const [own, theirs] = await run(Promise.all([alice.puncher.offer(), bob.puncher.offer()]));
  try {
    const [path] = await run(
      Promise.all([
        alice.puncher.punch(own, theirs, { side: 'initiator', proven: [bob.nat.ip] }),
        bob.puncher.punch(theirs, own, { side: 'responder', proven: [alice.nat.ip] }),
      ]),
    );
    let heard = false;
    bob.swarm.listen(() => void (heard = true));
    await alice.swarm.tell(formatSocketAddress(path.remote.ip, path.remote.port), encodeText('hello'));
    await realm.clock.advance(1000);
    return `${heard ? 'through' : 'silent'} after ${Math.round(path.tookMs)} ms and ${path.probes} probes`;
  } catch (error) {
    if (!P2PError.is(error)) throw error;
    return error.message;
  }
}

for (const [a, b] of [
  ['port', 'port'],
  ['port', 'random'],
  ['sequential', 'sequential'],
  ['random', 'random'],
] as const) {
  console.log(`${a} to ${b}: ${await meet(a, b)}`);
}
