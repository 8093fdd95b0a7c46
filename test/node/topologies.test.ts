/** Many nodes at once, in all shapes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { connectNodes, type Node } from '../../src/node/index.ts';
import { type Topology, topology } from '../../src/testing/topology.ts';
import { World } from '../support/node-world.ts';

async function listening(world: World, count: number): Promise<Node[]> {
  const nodes = Array.from({ length: count }, () => world.node());
  await Promise.all(nodes.map((node) => node.listen()));
  return nodes;
}

/** How many connections each of ten nodes has, as the original counts them. */
const SHAPES: Readonly<
  Record<string, { readonly shape: (size: number) => Topology; readonly counts: readonly number[] }>
> = {
  line: { shape: topology.line, counts: [1, 2, 2, 2, 2, 2, 2, 2, 2, 1] },
  ring: { shape: topology.ring, counts: [2, 2, 2, 2, 2, 2, 2, 2, 2, 2] },
  mesh: { shape: topology.mesh, counts: [9, 9, 9, 9, 9, 9, 9, 9, 9, 9] },
  star: { shape: topology.star, counts: [9, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
  grid: { shape: () => topology.grid(5, 2), counts: [2, 3, 3, 3, 2, 2, 3, 3, 3, 2] },
  tree: { shape: topology.tree, counts: [2, 3, 3, 3, 2, 1, 1, 1, 1, 1] },
};

describe('connectNodes', () => {
  for (const [name, { shape, counts }] of Object.entries(SHAPES)) {
    it(`ten nodes as a ${name}`, async () => {
      const world = new World();
      const nodes = await listening(world, 10);
      const made = await world.run(connectNodes(nodes, shape));
      await world.clock.advance(10);
      assert.deepEqual(
        nodes.map(({ connected }) => connected),
        counts,
      );
      assert.equal(
        made.length * 2,
        counts.reduce((sum, count) => sum + count),
      );
      await world.close(...nodes);
    });
  }

  it('ten nodes at random: connected, with the degree asked for, the same for a seed', async () => {
    const world = new World();
    const nodes = await listening(world, 10);
    const shape = topology.random(10, 3, 7);
    await world.run(connectNodes(nodes, shape));
    await world.clock.advance(10);
    assert.deepEqual(
      nodes.map(({ connected }) => connected),
      shape.neighbours.map(({ length }) => length),
    );
    assert.ok(nodes.every(({ connected }) => connected >= 3));
    await world.close(...nodes);
  });

  it('refuses fewer than two nodes, a shape of another size, and nodes that do not listen', async () => {
    const world = new World();
    const nodes = await listening(world, 3);
    assert.throws(() => connectNodes([], topology.ring), RangeError);
    assert.throws(() => connectNodes(nodes.slice(1, 2), topology.ring), RangeError);
    assert.throws(() => connectNodes(nodes, 'ring' as never), TypeError);
    assert.throws(() => connectNodes(nodes, topology.grid(2, 2)), /the grid is for 4 nodes, got 3/);
    await nodes[1]!.stopListening();
    assert.throws(() => connectNodes(nodes, topology.mesh), /number 1, node .* does not listen/);
    await world.close(...nodes);
  });
});

describe('shapes', () => {
  it('have the edges they should, for every size', () => {
    for (let n = 0; n < 20; n++) {
      assert.equal(topology.star(n).edges.length, Math.max(n - 1, 0));
      assert.equal(topology.tree(n).edges.length, Math.max(n - 1, 0));
      for (let height = 1; height < 5; height++) {
        const edges = n === 0 ? 0 : 2 * n * height - n - height;
        assert.equal(topology.grid(n, height).edges.length, edges);
      }
    }
    assert.throws(() => topology.grid(1.5, 2), TypeError);
  });
});
