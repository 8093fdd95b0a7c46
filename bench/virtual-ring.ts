/**
 * How many events a second does a virtual network process on one core?
 *
 * A thousand memory swarms without wrappers pass a thousand tokens round a ring; every handler is an async function that
 * awaits its tell. Baseline: the same ring of async functions that call each other through a queue of promises, without
 * swarms. Control: every token has made exactly its number of steps.
 */

import { createMemoryRealm } from '../src/swarms/memory/index.ts';
import { type Bench, counted, median } from './harness/bench.ts';

const NODES = 1000;
const GOAL_PER_SECOND = 500_000;

export const virtualRing: Bench = {
  name: 'virtual-ring',
  question: '1000 nodes pass 1000 tokens round a ring in virtual time, async handlers',
  prepare: () => {
    const steps = 500;
    const events = NODES * steps;
    let exact = true;

    /** Milliseconds for all steps of all tokens. */
    const ring = async (): Promise<number> => {
      const realm = createMemoryRealm({ clock: 'virtual' });
      const swarms = Array.from({ length: NODES }, () => realm.swarm());
      const addrs = swarms.map((swarm) => swarm.addr);
      const { promise, resolve } = Promise.withResolvers<void>();
      let handled = 0;
      for (const [i, swarm] of swarms.entries()) {
        const next = addrs[(i + 1) % NODES]!;
        swarm.listen(async ({ payload }) => {
          const left = payload[0]! * 256 + payload[1]!;
          if (++handled === events) resolve();
          if (left === 1) return;
          payload[0] = (left - 1) >> 8;
          payload[1] = left - 1;
          await swarm.tell(next, payload);
        });
      }
      const startedAt = performance.now();
      for (const [i, swarm] of swarms.entries())
        void swarm.tell(addrs[(i + 1) % NODES]!, Uint8Array.of(steps >> 8, steps));
      await realm.clock.run(promise);
      const ms = performance.now() - startedAt;
      await realm.clock.run(Promise.all(swarms.map((swarm) => swarm.close())));
      exact &&= handled === events;
      return ms;
    };

    const bare = async (): Promise<number> => {
      let handled = 0;
      const node = async (left: number): Promise<void> => {
        handled++;
        await Promise.resolve();
        if (left > 1) queue.push(left - 1);
      };
      let queue: number[] = Array.from({ length: NODES }, () => steps);
      const startedAt = performance.now();
      while (queue.length > 0) {
        const due = queue;
        queue = [];
        const running: Promise<void>[] = [];
        for (const left of due) running.push(node(left));
        await Promise.all(running);
      }
      exact &&= handled === events;
      return performance.now() - startedAt;
    };

    const [own, alone] = ['virtual ring', 'async functions alone'];
    /** Whole rings only. */
    const rings = (run: () => Promise<number>) =>
      counted(
        async (count) => {
          let ms = 0;
          for (let i = 0; i < count; i += events) ms += await run();
          return ms;
        },
        events,
        1,
        events,
      );
    return {
      measures: [
        { name: own, unit: 'events/s', round: rings(ring) },
        { name: alone, unit: 'calls/s', round: rings(bare) },
      ],
      claims: [{ subject: own, baseline: alone, goal: { figure: GOAL_PER_SECOND } }],
      controls: [
        { what: `every token made exactly ${steps} steps`, needs: [own], holds: () => exact },
        {
          what: 'functions alone are faster than the network',
          needs: [own, alone],
          holds: (figures) => median(figures.get(alone)!) > median(figures.get(own)!),
        },
      ],
    };
  },
};
