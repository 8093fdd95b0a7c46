/** A ring in which each node passes a number on; with 5 nodes or more and a seed that ends in 3 one of them stops. */

import type { AskSwarm } from 'shoal';
import type { MemoryAddr } from 'shoal/memory';
import type { SimulationOptions } from 'shoal/testing';

const simulation: SimulationOptions<AskSwarm<MemoryAddr>> = {
  nodes: 10,
  durationMs: 5000,
  network: { kind: 'memory', netem: { latencyMs: 10 } },
  open: ({ swarm, index, simulation: { size, seed, count, measure } }) => {
    const own = swarm();
    own.listen(({ payload }) => {
      if (size >= 5 && index === 4 && String(seed).endsWith('3')) return;
      count('passed');
      measure('turn', payload[0]!);
      void own.tell(`${(index + 1) % size}`, Uint8Array.of((payload[0]! + 1) % 256));
    });
    return own;
  },
  run: (simulation) => void simulation.node(0)!.tell('1', Uint8Array.of(0)),
  check: ({ nowMs, durationMs, count }) => {
    count('checked');
    if (process.env['SHOAL_TEST_RANDOM'] !== undefined) count('passed', 0);
    if (nowMs > durationMs) throw new Error('time ran away');
  },
  liveness: {
    withinMs: 1000,
    check: async ({ sleep, size, seed }) => {
      await sleep(1);
      if (size >= 5 && String(seed).endsWith('3')) throw new Error('the ring stands still');
    },
  },
};

export default simulation;
