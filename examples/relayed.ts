/**
 * Two peers that no datagram of the other reaches talk through a relay, in virtual time: both are behind NATs that give every destination another port. The
 * relay sees PeerIDs and sealed bytes.
 */

import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { relaySwarm, serveRelay } from 'shoal/nat';
import { p2pke } from 'shoal/p2pke';
import { loadQuicEngine, quic } from 'shoal/quic';
import { createVirtualInternet, type VirtualHost } from 'shoal/testing';
import { openUdpSwarm } from 'shoal/udp';

await loadQuicEngine();
const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
const net = createVirtualInternet({ realm, seed: 1 });

/** A swarm that knows whom it talks to; 1300 bytes, so that a whole datagram of QUIC fits. */
async function open(host: VirtualHost, privateKey = generateKey()) {
  const udp = await openUdpSwarm({ bind: `${host.ip}:5000`, maxDatagramBytes: 1300, ...host });
  return p2pke(udp, { privateKey });
}

const relay = await open(net.host());
const service = serveRelay(relay, { maxPeers: 100, bytesPerSecond: 125_000 });

async function join() {
  const privateKey = generateKey();
  const host = net.host({ behind: net.nat('random') });
  return quic(relaySwarm(await open(host, privateKey), { relays: [relay.addr] }), { privateKey });
}

const [alice, bob] = [await join(), await join()];
bob.serve(({ payload }) => encodeText(decodeText(payload)!.toUpperCase()));
await realm.clock.advance(1000);

const answer = await realm.clock.run(alice.ask(bob.addr, encodeText('sealed from end to end')));
console.log(decodeText(answer));
for (const { receivedBytes, sentBytes } of service.peers) {
  console.log(`the relay took ${receivedBytes} bytes from a peer, and gave it ${sentBytes}`);
}
await realm.clock.run(Promise.all([alice, bob, relay].map((swarm) => swarm.close())));
