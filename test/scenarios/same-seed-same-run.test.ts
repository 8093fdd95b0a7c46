import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { toHex } from '../../src/base/bytes.ts';
import type { Seed } from '../../src/base/seeded-random.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { topology } from '../../src/testing/topology.ts';

/** Every event of 50 nodes that gossip and ask over a bad network for a minute, as text. */
async function record(seed: Seed): Promise<string[]> {
  const log: string[] = [];
  const realm = createMemoryRealm({
    clock: 'virtual',
    seed,
    netem: {
      latencyMs: 20,
      jitterMs: 15,
      loss: 0.1,
      duplicate: 0.05,
      reorder: 0.05,
      corrupt: 0.05,
      truncate: 0.05,
      bytesPerSecond: 50_000,
    },
    trace: ({ layer, type, atMs, addr, reason }) => log.push(`${atMs} ${layer} ${type} ${addr?.text} ${reason}`),
  });
  const nodes = Array.from({ length: 50 }, () => realm.swarm());
  const { neighbours } = topology.random(50, 4, seed);
  for (const [i, node] of nodes.entries()) {
    const others = neighbours[i]!.map((j) => nodes[j]!.addr);
    node.serve(({ payload, src }) => {
      log.push(`${realm.nowMs()} ${i} serves ${src.text} ${toHex(payload)}`);
      return realm.random(4);
    });
    node.listen(async ({ src, payload }) => {
      log.push(`${realm.nowMs()} ${i} hears ${src.text} ${toHex(payload)}`);
      const onwards = others[(payload[0] ?? 0) % others.length]!;
      void node.tell(onwards, realm.random(8));
      if ((payload[1] ?? 0) > 200) {
        const outcome = await node.ask(src, payload, { timeoutMs: 500 }).then(toHex, (error: Error) => error.message);
        log.push(`${realm.nowMs()} ${i} ${outcome}`);
      }
    });
    realm.clock.setTimer(i, () => void node.tell(others[0]!, realm.random(8)));
    realm.clock.setTimer(30_000 + i, () => void node.tell(others[1]!, realm.random(8)));
  }
  realm.clock.setTimer(10_000, () => realm.cut());
  realm.clock.setTimer(12_000, () => realm.heal());
  await realm.clock.advance(60_000);
  await Promise.all(nodes.map((node) => node.close()));
  return log;
}

describe('the same seed gives the same run', () => {
  it('byte for byte, for 50 nodes on a bad network', async () => {
    const first = await record(7);
    assert.ok(first.length > 1000, `only ${first.length} events`);
    assert.deepEqual(await record(7), first);
    assert.notDeepEqual(await record(8), first);
  });
});
