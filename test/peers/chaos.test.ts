/** Four nodes whose connections end, whose hosts sleep and whose ports move all the time: what was promised still holds. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { createSeededRandom } from '../../src/base/seeded-random.ts';
import type { VirtualHost } from '../../src/net/virtual/types.ts';
import type { Peers } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';

const NODES = 4;
const STEPS = 250;

interface Run {
  readonly asked: number;
  readonly answered: number;
  /** How often each ask was executed. */
  readonly executed: ReadonlyMap<string, number>;
  readonly faults: readonly string[];
}

async function chaos(seed: number): Promise<Run> {
  const w = new PeersWorld({ latencyMs: 20, trace: undefined, seed });
  const random = createSeededRandom(`chaos ${seed}`);
  const hosts: VirtualHost[] = Array.from({ length: NODES }, () => w.net.host());
  const nodes: Peers[] = [];
  const executed = new Map<string, number>();
  const last = new Map<string, number>();
  const faults: string[] = [];
  for (const [i, host] of hosts.entries()) {
    const node = await w.open(i, host, random.next() < 0.3 ? { movePortEveryMs: 7000 } : {});
    node.serve(({ payload }) => {
      const id = decodeText(payload)!;
      executed.set(id, (executed.get(id) ?? 0) + 1);
      return payload;
    });
    node.listen(({ src, payload }) => {
      const pair = `${src.id} to ${node.id}`;
      const number = Number(decodeText(payload));
      if (number <= (last.get(pair) ?? -1)) faults.push(`tell ${number} after ${last.get(pair)}`);
      last.set(pair, number);
    });
    nodes.push(node);
  }
  const told = new Map<string, number>();
  let asked = 0;
  let answered = 0;
  const talk = (from: Peers, to: number): void => {
    const pair = `${from.id} to ${idOf(to)}`;
    for (let n = 0; n < 5; n++) {
      const number = told.get(pair) ?? 0;
      told.set(pair, number + 1);
      from.tell(idOf(to), encodeText(String(number))).catch((error: Error) => faults.push(error.message));
      from.ask(idOf(to), encodeText(`${pair} ${asked++}`)).then(
        () => answered++,
        (error: Error) => faults.push(error.message),
      );
    }
  };
  for (let step = 0; step < STEPS; step++) {
    const action = random.next();
    const i = Math.floor(random.next() * NODES);
    if (action < 0.5) talk(nodes[i]!, (i + 1 + Math.floor(random.next() * (NODES - 1))) % NODES);
    else if (action < 0.7) {
      for (const [transport, peers] of w.cuts)
        for (const peer of peers()) if (random.next() < 0.15) transport.disconnect(peer);
    } else if (action < 0.73) {
      hosts[i]!.sleep();
      await w.advance(random.next() * 6000);
      hosts[i]!.wake();
    }
    await w.advance(random.next() * 300);
    for (const node of nodes) w.directory.addrs.set(node.id, node.addrs);
  }
  await w.advance(60_000);
  await w.close();
  return { asked, answered, executed, faults };
}

before(() => loadQuicEngine());

describe('openPeers in chaos', () => {
  it('every ask is answered and was executed once, every tell arrives in order', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { asked, answered, executed, faults } = await chaos(seed);
      assert.deepEqual(faults, [], `seed ${seed}`);
      assert.equal(answered, asked, `seed ${seed}`);
      assert.deepEqual(new Set(executed.values()), new Set([1]), `seed ${seed}`);
      assert.equal(executed.size, asked, `seed ${seed}`);
    }
  });
});
