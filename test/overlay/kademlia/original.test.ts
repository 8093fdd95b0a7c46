/** The counterparts of the tests of go-p2p's package `kademlia`. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeText } from '../../../src/base/bytes.ts';
import { dhtNetwork } from '../../support/dht-network.ts';

/** go-p2p has 1000 nodes in these tests; `SHOAL_DHT_NODES=1000` runs as many. */
const NODES = Number(process.env['SHOAL_DHT_NODES'] ?? 200);

describe('a DHT does what that of go-p2p does', () => {
  it(`makes one component of ${NODES} nodes that all join by node 0, and leaves nothing to improve`, async () => {
    await using network = await dhtNetwork(NODES);
    const { nodes, run } = network;
    const known = new Map(nodes.map((node) => [node.id, node.table().map(({ id }) => id)]));
    const reached = new Set([nodes[0]!.id]);
    for (const id of reached) for (const next of known.get(id) ?? []) reached.add(next);
    assert.equal(reached.size, NODES);
    for (const node of nodes) assert.ok(node.inspect().contacts >= 16, `${node.inspect().contacts} contacts`);
    for (const node of nodes.slice(0, 20)) {
      const before = node.inspect().contacts;
      await run(node.join());
      assert.ok(node.inspect().contacts >= before);
    }
  });

  it('finds every one of 20 peers', async () => {
    await using network = await dhtNetwork(20);
    for (const node of network.nodes) {
      for (const other of network.nodes) {
        if (node === other) continue;
        const { peer, explain } = await network.run(node.findNode(other.id));
        assert.equal(peer?.id, other.id, explain.text);
      }
    }
  });

  it('gets what only the closest node holds', async () => {
    await using network = await dhtNetwork(40);
    const key = encodeText('only there');
    // With k of 2 a value is stored at two nodes; the others know nothing of it.
    const lone = await network.open({ k: 2 });
    await network.run(lone.ready);
    const { accepted } = await network.run(lone.put(key, encodeText('here')));
    assert.ok(accepted[0]! >= 1 && accepted[0]! <= 2);
    for (const node of network.nodes) {
      const { value, explain } = await network.run(node.get(key));
      assert.deepEqual(value, encodeText('here'), explain.text);
    }
  });

  it('puts a hundred entries, and gets each from all nodes', async () => {
    await using network = await dhtNetwork(20);
    const { nodes, run } = network;
    for (let i = 0; i < 100; i++) {
      const { accepted } = await run(nodes[i % nodes.length]!.put(encodeText(`key ${i}`), encodeText(`value ${i}`)));
      assert.ok(accepted[0]! >= 2);
    }
    for (const node of nodes) {
      for (let i = 0; i < 100; i++) {
        const { value } = await run(node.get(encodeText(`key ${i}`)));
        assert.deepEqual(value, encodeText(`value ${i}`));
      }
    }
  });
});
