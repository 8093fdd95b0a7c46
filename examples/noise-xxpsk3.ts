/**
 * Noise_XXpsk3 with one message in each record: the bytes of pea2pea's Noise example. The handshake leaves two ciphers, and the
 * codec uses them; where only encryption is wanted, `noise({ pattern: 'XXpsk3', psk })` does it all, and seals batches.
 *
 * Alone it talks to itself; with `listen` it answers whoever dials until standard input ends, with an address it dials there.
 */

import { type Connection, createNode, handshake, type Node, reading, writing, type WritingHandle } from 'shoal/node';
import { sealed, shake } from './noise-xxpsk3/sealed.ts';

interface Talker {
  readonly node: Node;
  readonly out: WritingHandle<string>;
  readonly addr: string;
}

async function talker(name: string, onText: (text: string) => string | undefined): Promise<Talker> {
  const node = createNode({ bind: '127.0.0.1:0', name });
  node.enable(handshake(shake));
  const out = node.enable(writing({ codec: sealed }));
  const onMessage = (peer: Connection, text: string): void => {
    console.log(`${name} hears: ${text}`);
    const answer = onText(text);
    if (answer !== undefined) out.send(peer, answer);
  };
  node.enable(reading({ codec: sealed, onMessage }));
  return { node, out, addr: await node.listen() };
}

const [to] = process.argv.slice(2);
const { promise, resolve } = Promise.withResolvers<string>();
const bob = await talker('bob', (text) => `you said ${text}`);
console.log(`listening on ${bob.addr}`);
if (to === 'listen') await new Promise((end) => process.stdin.on('end', end).resume());
else {
  const alice = await talker('alice', (text) => void (text.endsWith('second') && resolve(text)));
  const peer = await alice.node.connect(to ?? bob.addr);
  for (const text of ['first', 'second']) alice.out.send(peer, text);
  await promise;
  await alice.node.close();
}
await bob.node.close();
