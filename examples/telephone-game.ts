/** The telephone game: twenty nodes in a line pass a sentence on, and each may mishear a letter. */

import { connectNodes, createNode, lines, reading, writing } from 'shoal/node';
import { topology } from 'shoal/testing';

const PLAYERS = 20;
const SENTENCE = 'the quick brown fox jumps over the lazy dog';

function mishear(text: string): string {
  if (Math.random() < 0.5) return text;
  const at = Math.floor(Math.random() * text.length);
  const letter = String.fromCodePoint(97 + Math.floor(Math.random() * 26));
  return `${text.slice(0, at)}${letter}${text.slice(at + 1)}`;
}

const { promise: end, resolve } = Promise.withResolvers<string>();

const nodes = Array.from({ length: PLAYERS }, (_, number) => {
  const node = createNode({ security: 'none', codec: lines(), name: `player ${number}`, bind: '127.0.0.1:0' });
  node.enable(writing());
  node.enable(
    reading({
      onMessage: (source, text) => {
        const heard = mishear(text);
        console.log(`${node.name} heard "${heard}"`);
        // To the neighbour it did not come from.
        const next = node.connections().find((peer) => peer !== source);
        if (next === undefined) resolve(heard);
        else next.send(heard);
      },
    }),
  );
  return node;
});

await Promise.all(nodes.map((node) => node.listen()));
await connectNodes(nodes, topology.line);
nodes[0]!.broadcast(SENTENCE); // The first has one neighbour.
console.log(`it began as "${SENTENCE}" and ended as "${await end}"`);
await Promise.all(nodes.map((node) => node.close()));
