/** A thousand nodes, an hour, a partition: in about a second, and the same every time. */

import { createMemoryRealm } from 'shoal/memory';
import { topology } from 'shoal/testing';

const realm = createMemoryRealm({ clock: 'virtual', seed: 'gossip', netem: 'cellular' });
const shape = topology.random(1000, 4, 'gossip');
const nodes = Array.from({ length: shape.size }, () => realm.swarm());
const heardAt = new Map<number, number>();

for (const [i, node] of nodes.entries()) {
  node.listen(({ payload }) => {
    if (heardAt.has(i)) return;
    heardAt.set(i, realm.nowMs());
    for (const j of shape.neighbours[i]!) void node.tell(nodes[j]!.addr, payload);
  });
}
heardAt.set(0, 0);
for (const j of shape.neighbours[0]!) void nodes[0]!.tell(nodes[j]!.addr, Uint8Array.of(1));

realm.clock.setTimer(100, () => realm.cut());
realm.clock.setTimer(1_800_000, () => realm.heal());
await realm.clock.advance(3_600_000);

const last = Math.max(...heardAt.values());
console.log(`${heardAt.size} of ${nodes.length} nodes heard the rumour; the last of them after ${Math.round(last)} ms`);
console.log(`${nodes.length - heardAt.size} were cut off after 100 ms and nobody told them again: gossip needs repair`);
