/** Five peers that know one of them, and after a round of peer exchange all of them; then they talk by PeerID alone. */

import { decodeText, encodeText } from 'shoal/bytes';
import { peerExchange } from 'shoal/discovery';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { mux } from 'shoal/mux';
import { peerSwarm } from 'shoal/peer';
import { openQuicSwarm } from 'shoal/quic';

async function open() {
  const privateKey = generateKey();
  const quic = await openQuicSwarm({ bind: '127.0.0.1:0', privateKey });
  const channels = mux(quic, 'string');
  const exchange = peerExchange(channels.open('peers'), { privateKey });
  const chat = peerSwarm(channels.open('chat'), { source: exchange });
  chat.serve(({ payload }) => encodeText(`${decodeText(payload)} to you`));
  return { channels, exchange, chat, id: peerIdOfKey(privateKey.publicKey), addr: quic.addr };
}

const peers = await Promise.all([1, 2, 3, 4, 5].map(open));
const [bootstrap, ...others] = peers;
for (const { exchange } of others) await exchange.exchange(bootstrap!.addr);
// The first ones came before the last ones were known.
for (const { exchange } of others) await exchange.exchange(bootstrap!.addr);

const [first, last] = [others[0]!, others.at(-1)!];
console.log(`everybody knows ${first.exchange.records.length} others`);
console.log(decodeText(await first.chat.ask(first.chat.parseAddr(last.id), encodeText('good morning'))));
await Promise.all(peers.map(({ channels }) => channels.close()));
