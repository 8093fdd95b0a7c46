/** Ten nodes that know one of them: each finds the others in a DHT by PeerID alone, over QUIC on this machine. */

import { decodeText, encodeText } from 'shoal/bytes';
import { openDht } from 'shoal/kademlia';
import { generateKey } from 'shoal/keys';
import { mux } from 'shoal/mux';
import { peerSwarm } from 'shoal/peer';
import { openQuicSwarm } from 'shoal/quic';

const bootstrap: string[] = [];

async function open() {
  const privateKey = generateKey();
  const quic = await openQuicSwarm({ privateKey, bind: '127.0.0.1:0' });
  const channels = mux(quic, 'string');
  const dht = await openDht(channels.open('dht'), { networkName: 'look-up-peers', privateKey, bootstrap });
  const peers = peerSwarm(channels.open('app'), { source: dht });
  peers.serve(({ payload }) => encodeText(`${decodeText(payload)} from ${dht.id.slice(0, 6)}`));
  if (bootstrap.length === 0) bootstrap.push(quic.addr.text);
  await dht.ready;
  await dht.announce();
  return { dht, peers, close: () => quic.close() };
}

const nodes: Awaited<ReturnType<typeof open>>[] = [];
for (let i = 0; i < 10; i++) nodes.push(await open());

const [, second] = nodes;
const last = nodes.at(-1)!;
console.log(decodeText(await second!.peers.ask(last.dht.id, encodeText('hello'))));

await last.dht.announce(Array.from({ length: 100 }, (_, i) => encodeText(`file ${i}`)));
const { records } = await second!.dht.providers(encodeText('file 42'));
console.log('file 42 is at', records.length === 1 && records[0]!.id === last.dht.id ? 'the last node' : 'nobody');
console.log(second!.dht.inspect().contacts, 'contacts;', second!.dht.inspect().lookups.at(-1)?.text);
await Promise.all(nodes.map(({ close }) => close()));
