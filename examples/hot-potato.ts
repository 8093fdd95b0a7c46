/** Hot potato: ten nodes, each connected with each, throw a potato around; who has it when the time is up has lost. */

import { decodeText, encodeText } from 'shoal/bytes';
import { connectNodes, createNode, handshake, lines, mapCodec, reading, type TcpConnection, writing } from 'shoal/node';
import { topology } from 'shoal/testing';

type Message = { readonly type: 'potato' } | { readonly type: 'i have it'; readonly name: string };

const messages = mapCodec(lines(), {
  decode: (line) => JSON.parse(line) as Message,
  encode: (message: Message) => JSON.stringify(message),
});
const GAME_MS = 1000;
const carried = new Map<string, number>();
let holder = '';
let isOver = false;

const players = Array.from({ length: 10 }, (_, number) => {
  const name = `player ${number}`;
  const node = createNode({ security: 'none', codec: messages, name, bind: '127.0.0.1:0' });
  const names = new Map<TcpConnection, string>(); // Bounded by the players.
  // Names are told before anything else: their length, and themselves.
  node.enable(
    handshake(async ({ stream, connection }) => {
      const own = encodeText(name);
      await stream.write(Uint8Array.of(own.length, ...own));
      const [length] = await stream.read(1);
      if (length! > 16) throw new Error('the name is too long');
      names.set(connection, decodeText(await stream.read(length!)) ?? '?');
    }),
  );
  node.enable(writing());

  const pass = (): void => {
    if (isOver) return;
    const peers = node.connections();
    const next = peers[Math.floor(Math.random() * peers.length)]!;
    next.send({ type: 'potato' });
  };
  const take = (): void => {
    holder = name;
    carried.set(name, (carried.get(name) ?? 0) + 1);
    node.broadcast({ type: 'i have it', name });
    setTimeout(pass, 5);
  };
  node.enable(
    reading({
      onMessage: (peer, message) => {
        if (message.type === 'potato') take();
        else if (message.name !== names.get(peer)) throw new Error('somebody lies about their name');
      },
    }),
  );
  return { node, take };
});

const nodes = players.map(({ node }) => node);
await Promise.all(nodes.map((node) => node.listen()));
await connectNodes(nodes, topology.mesh);
players[0]!.take();
await new Promise((resolve) => void setTimeout(resolve, GAME_MS));
isOver = true;
for (const [name, times] of [...carried].toSorted(([, a], [, b]) => b - a))
  console.log(`${name} had it ${times} times`);
console.log(`${holder} has lost`);
await Promise.all(nodes.map((node) => node.close()));
