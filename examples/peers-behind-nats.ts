/**
 * Two peers behind NATs, in virtual time. They have one helper in common, which relays and brings them together, and of each other they know the
 * PeerID. The first answer comes by the relay; then both NATs are opened, and nothing goes by way of the relay any more. The NATs of two others
 * cannot be opened together: `explainBoth` says so.
 */

import { decodeText, encodeText } from 'shoal/bytes';
import { generateKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { openObserver } from 'shoal/nat';
import { openPeers, type Peers } from 'shoal/peers';
import { createVirtualInternet, type NatKind } from 'shoal/testing';

const realm = createMemoryRealm({ clock: 'virtual', seed: 1 });
const net = createVirtualInternet({ realm, seed: 1, latencyMs: 20 });
const run = <T>(promise: Promise<T>): Promise<T> => realm.clock.run(promise);

const { network, ip } = net.host();
const helper = await run(
  openPeers({
    privateKey: generateKey(),
    network,
    realm,
    bind: `${ip}:443`, // The port that every firewall lets out.
    serveRelay: { maxPeers: 50, bytesPerSecond: 250_000 },
  }),
);
const observers: string[] = [];
for (const host of [net.host(), net.host(), net.host()]) {
  const bind = `${host.ip}:3478`;
  await run(openObserver({ bind, network: host.network, realm: host.realm }));
  observers.push(bind);
}

async function join(kind: NatKind): Promise<Peers> {
  const { network, realm } = net.host({ behind: net.nat(kind) });
  const contacts = [`${helper.id}@${ip}:443`];
  const options = { network, realm, contacts, observers, fallbackAfterMs: 0, minPeers: 0 };
  const peers = await run(openPeers({ privateKey: generateKey(), ...options }));
  peers.serve(({ payload }) => encodeText(`you said "${decodeText(payload)}"`));
  peers.maintain(helper.id); // It relays, so this node asks it for a place.
  return peers;
}

async function meet(alice: Peers, bob: Peers): Promise<void> {
  const path = () => alice.list().find(({ id }) => id === bob.id)?.path;
  const startMs = realm.nowMs();
  const answer = await run(alice.ask(bob.id, encodeText('hello')));
  console.log(`${decodeText(answer)}, after ${realm.nowMs() - startMs} ms, by ${path()?.kind}`);
  await realm.clock.advance(5000);
  console.log(`then ${path()?.kind}, over ${path()?.transport}`);
}

const [alice, bob] = [await join('port'), await join('port')];
const [carol, dave] = [await join('random'), await join('random')];
await realm.clock.advance(3000);
await meet(alice, bob);
await meet(carol, dave);
const { text } = await run(carol.explainBoth(dave.id));
console.log(text);

for (const peers of [alice, bob, carol, dave, helper]) await run(peers.close());
