import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Topology, topology } from '../../src/testing/topology.ts';

const shapes: Record<string, { make: (n: number) => Topology; edges: (n: number) => number | undefined }> = {
  line: { make: topology.line, edges: (n) => Math.max(n - 1, 0) },
  ring: { make: topology.ring, edges: (n) => (n < 3 ? Math.max(n - 1, 0) : n) },
  mesh: { make: topology.mesh, edges: (n) => (n * n - n) / 2 },
  'hub-and-spoke': { make: topology.hubAndSpoke, edges: (n) => Math.max(n - 1, 0) },
  random: { make: (n) => topology.random(n, 3, n), edges: () => undefined },
};

function reachable({ neighbours }: Topology): number {
  const seen = new Set([0]);
  for (const i of seen) for (const j of neighbours[i] ?? []) seen.add(j);
  return seen.size;
}

for (const [name, { make, edges }] of Object.entries(shapes)) {
  describe(`topology ${name}`, () => {
    for (let n = 0; n < 20; n++) {
      it(`of ${n} nodes: symmetric, in bounds, no loops, no repetition, connected`, () => {
        const shape = make(n);
        assert.equal(shape.neighbours.length, n);
        for (const [i, others] of shape.neighbours.entries()) {
          assert.equal(new Set(others).size, others.length);
          for (const j of others) assert.ok(j >= 0 && j < n && j !== i && shape.neighbours[j]!.includes(i));
        }
        const matrix = shape.matrix();
        assert.equal(matrix.flat().filter(Boolean).length, shape.edges.length * 2);
        for (const [i, j] of shape.edges) assert.ok(i < j && matrix[i]![j] && matrix[j]![i]);
        assert.equal(shape.edges.length, edges(n) ?? shape.edges.length);
        if (n > 0) assert.equal(reachable(shape), n);
      });
    }
  });
}

describe('topology random', () => {
  it('gives at least the degree asked for, the same for the same seed', () => {
    const shape = topology.random(50, 4, 'seed');
    for (const others of shape.neighbours) assert.ok(others.length >= 4);
    assert.deepEqual(topology.random(50, 4, 'seed').edges, shape.edges);
    assert.notDeepEqual(topology.random(50, 4, 'other').edges, shape.edges);
  });
});
