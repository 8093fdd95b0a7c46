/** Rings that nodes join, leave and crash out of while the network is parted and loses messages: one ring must remain. */

import { encodeText, fromHex, compareBytes } from '../../src/base/bytes.ts';
import type { AskSwarm } from '../../src/core/ask.ts';
import { openChord, type ChordRing } from '../../src/overlay/chord/index.ts';
import type { MemoryAddr } from '../../src/swarms/memory/index.ts';
import type { Simulation, SimulationOptions } from '../../src/testing/index.ts';

type Ring = ChordRing<MemoryAddr>;

/** What is wrong with the ring of all running nodes; `undefined` when it is one, in order, with every node in it. */
export function ringFault(simulation: Simulation<Ring>): string | undefined {
  const running = simulation.running().map(([index, ring]) => ({ index, ring, place: fromHex(ring.inspect().place) }));
  const inOrder = running.toSorted((a, b) => compareBytes(a.place, b.place));
  for (const [i, { index, ring }] of inOrder.entries()) {
    if (inOrder.length === 1) return undefined;
    const [next, before] = [inOrder[(i + 1) % inOrder.length]!, inOrder.at(i - 1)!];
    const { successors, predecessor } = ring.inspect();
    if (successors[0] !== `${next.index}`) return `${index} has ${successors[0]} behind it instead of ${next.index}`;
    if (predecessor !== `${before.index}`) return `${index} has ${predecessor} before it instead of ${before.index}`;
  }
  return undefined;
}

/** Nodes with short rounds of upkeep, so that a run is short, too. */
export function chordSimulation(change: Partial<SimulationOptions<Ring>> = {}): SimulationOptions<Ring> {
  const open = (swarm: AskSwarm<MemoryAddr>, index: number): Ring =>
    openChord(swarm, {
      networkName: 'test',
      bootstrap: index === 0 ? ['1', '2'] : ['0', '1'],
      successors: 4,
      upkeepMs: 500,
      callTimeoutMs: 200,
    });
  return {
    name: 'chord',
    nodes: 16,
    durationMs: 60_000,
    openEveryMs: 300,
    network: { kind: 'memory', netem: { latencyMs: 10, jitterMs: 10, loss: 0.02 } },
    open: ({ swarm, index }) => open(swarm(), index),
    churn: { halfLifeMs: 30_000, downMs: 5000, spared: 1, graceful: 0.3 },
    chaos: (random, durationMs) => [
      { type: 'partition', atMs: random.next() * durationMs * 0.4, forMs: 5000 + random.next() * 10_000 },
      { type: 'crash', atMs: durationMs * (0.6 + 0.2 * random.next()), forMs: 5000, share: 0.3 },
    ],
    run: async (simulation) => {
      for (let i = 0; i < 20; i++) {
        await simulation.sleep(simulation.durationMs / 21);
        const [, ring] = simulation.any();
        ring.lookup(encodeText(`key ${i}`)).then(
          ({ path }) => {
            simulation.attempt('lookup', true);
            simulation.measure('hops', path.length);
          },
          () => simulation.attempt('lookup', false),
        );
      }
    },
    liveness: {
      withinMs: 60_000,
      check: (simulation) => {
        const fault = ringFault(simulation);
        if (fault !== undefined) throw new Error(fault);
      },
    },
    ...change,
  };
}
