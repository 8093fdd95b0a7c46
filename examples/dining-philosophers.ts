/**
 * Five philosophers in a ring share five forks. Who is hungry asks the neighbours for the forks between them; a fork that is
 * dirty and not in use is given away, clean. Nobody starves, and nobody waits in a circle (Chandy and Misra, 1984).
 */

import { connectNodes, createNode, lines, reading, type TcpConnection, writing } from 'shoal/node';
import { topology } from 'shoal/testing';

const [SEATS, MEALS] = [5, 5];
/** One fork, as seen from one of the two seats it lies between. Bounded: two for each philosopher. */
interface Fork {
  isHere: boolean;
  isDirty: boolean;
  /** The neighbour waits for it. */
  isWanted: boolean;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

const table = Array.from({ length: SEATS }, (_, seat) => {
  const node = createNode({ security: 'none', codec: lines(), name: `philosopher ${seat}`, bind: '127.0.0.1:0' });
  node.enable(writing());
  const forks = new Map<TcpConnection<string>, Fork>();
  let [state, meals]: ['thinking' | 'hungry' | 'eating', number] = ['thinking', 0];
  const { promise: full, resolve } = Promise.withResolvers<void>();

  const giveAway = (peer: TcpConnection<string>, fork: Fork): void => {
    if (!fork.isHere || !fork.isWanted || state === 'eating' || (state === 'hungry' && !fork.isDirty)) return;
    Object.assign(fork, { isHere: false, isDirty: false, isWanted: false });
    peer.send('fork');
    if (state === 'hungry') peer.send('please');
  };
  const eat = async (): Promise<void> => {
    if (state !== 'hungry' || ![...forks.values()].every(({ isHere }) => isHere)) return;
    state = 'eating';
    console.log(`${node.name} eats, for the ${++meals}. time`);
    await pause(2);
    state = 'thinking';
    for (const [peer, fork] of forks) {
      fork.isDirty = true;
      giveAway(peer, fork);
    }
    if (meals === MEALS) resolve();
    else void think();
  };
  const think = async (): Promise<void> => {
    await pause(Math.random() * 5);
    state = 'hungry';
    for (const [peer, { isHere }] of forks) if (!isHere) peer.send('please');
    await eat();
  };
  const onMessage = (peer: TcpConnection<string>, line: string): void => {
    const fork = forks.get(peer)!;
    if (line === 'please') fork.isWanted = true;
    else fork.isHere = true;
    giveAway(peer, fork);
    void eat();
  };
  node.enable(reading({ onMessage }));
  return { node, forks, think, full };
});

const nodes = table.map(({ node }) => node);
await Promise.all(nodes.map((node) => node.listen()));
await connectNodes(nodes, topology.ring);
while (nodes.some(({ connected }) => connected < 2)) await pause(1);
// Each fork lies, dirty, with the one who has dialled: one has two and one has none, so they do not wait in a circle.
for (const { node, forks } of table) {
  for (const peer of node.connections()) {
    forks.set(peer, { isHere: peer.side === 'responder', isDirty: true, isWanted: false });
  }
}
for (const { think } of table) void think();
await Promise.all(table.map(({ full }) => full));
await Promise.all(nodes.map((node) => node.close()));
