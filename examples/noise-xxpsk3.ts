/**
 * Noise_XXpsk3 with one message in each record: the bytes of pea2pea's Noise example. The handshake leaves two ciphers, and the
 * codec uses them; where only encryption is wanted, `noise({ pattern: 'XXpsk3', psk })` does it all, and seals batches.
 *
 * Alone it talks to itself; with `listen` it answers whoever dials until standard input ends, with an address it dials there.
 */

import { createNode, handshake, type Node, reading, type TcpConnection, writing } from 'shoal/node';
import { sealed, secure } from './noise-xxpsk3/sealed.ts';

interface Talker {
  readonly node: Node<string, string>;
  readonly addr: string;
}

async function talker(name: string, onText: (text: string) => string | undefined): Promise<Talker> {
  const node = createNode({ security: handshake(secure), codec: sealed, bind: '127.0.0.1:0', name });
  node.enable(writing());
  const onMessage = (peer: TcpConnection<string>, text: string): void => {
    console.log(`${name} hears: ${text}`);
    const answer = onText(text);
    if (answer !== undefined) peer.send(answer);
  };
  node.enable(reading({ onMessage }));
  return { node, addr: await node.listen() };
}

const [to] = process.argv.slice(2);
const { promise, resolve } = Promise.withResolvers<string>();
const bob = await talker('bob', (text) => `you said ${text}`);
console.log(`listening on ${bob.addr}`);
if (to === 'listen') await new Promise((end) => process.stdin.on('end', end).resume());
else {
  const alice = await talker('alice', (text) => void (text.endsWith('second') && resolve(text)));
  const peer = await alice.node.connect(to ?? bob.addr);
  for (const text of ['first', 'second']) peer.send(text);
  await promise;
  await alice.node.close();
}
await bob.node.close();
