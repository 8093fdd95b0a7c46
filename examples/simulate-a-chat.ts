/** A chat of a thousand nodes that is parted for a while: nothing is lost, since each node asks others for what it missed. */

import type { AskSwarm } from 'shoal';
import { decodeText, encodeText } from 'shoal/bytes';
import type { MemoryAddr } from 'shoal/memory';
import { simulate } from 'shoal/testing';

class Chat {
  readonly lines = new Set<string>();
  constructor(swarm: AskSwarm<MemoryAddr>, everyMs: (act: () => Promise<void>) => void, peer: () => number) {
    swarm.serve(() => encodeText([...this.lines].join('\n')));
    everyMs(async () => {
      const theirs = await swarm
        .ask(`${peer()}`, new Uint8Array(0), { timeoutMs: 2000 })
        .catch(() => new Uint8Array(0));
      for (const line of decodeText(theirs)?.split('\n') ?? []) if (line !== '') this.lines.add(line);
    });
  }
}

const result = await simulate({
  name: 'chat',
  nodes: 1000,
  durationMs: 60_000,
  network: { kind: 'memory', netem: 'cellular' },
  open: ({ swarm, realm, random, simulation }) => {
    const every = (act: () => Promise<void>): void =>
      void realm.clock.setTimer(realm.nowMs() + 2500, () => [act(), every(act)], { background: true });
    return new Chat(swarm(), every, () => Math.floor(random.next() * simulation.size));
  },
  chaos: [{ type: 'partition', atMs: 5000, forMs: 30_000 }],
  run: async (simulation) => {
    for (let i = 0; i < 20; i++) {
      simulation.any()[1].lines.add(`line ${i}`);
      await simulation.sleep(1000);
    }
  },
  liveness: {
    withinMs: 60_000,
    check: (simulation) => {
      const short = simulation.running().filter(([, chat]) => chat.lines.size < 20);
      if (short.length > 0) throw new Error(`${short.length} nodes have not heard everything`);
    },
  },
});

const { isOk, failure, metrics, virtualMs } = result;
console.log(isOk ? 'nothing was lost' : `failed: ${failure?.message}`);
console.log(
  `${metrics.counts['messages']} messages, ${metrics.counts['lost']} lost, ${virtualMs / 1000} virtual seconds`,
);
