/** Connects many nodes at once, for tests and examples. */

import { describeValue } from '../base/checks.ts';
import type { Topology } from '../base/topology.ts';
import type { TcpConnection } from './connection.ts';
import type { Node } from './node.ts';

/**
 * Connects listening nodes: for each edge of the topology the lower one dials the higher. On loopback all have one IP,
 * so `maxConnectionsPerIp` must allow for the neighbours.
 *
 * @param topology - a shape, or a function that makes one for a number of nodes: `topology.ring`.
 * @returns the dialled connections, in the order of the edges; the accepting ends may become available a moment later.
 * @throws {RangeError} (at once) when there are fewer than two nodes, or the shape is for another number of nodes.
 * @throws {TypeError} (at once) when a node does not listen, or `topology` is not a shape.
 * @throws {P2PError} (by rejection) as `connect` does; earlier connections stay.
 */
export function connectNodes(
  nodes: readonly Node[],
  topology: Topology | ((size: number) => Topology),
): Promise<readonly TcpConnection[]> {
  if (nodes.length < 2) throw new RangeError(`Cannot connect nodes: expected two or more, got ${nodes.length}`);
  const shape: Topology = typeof topology === 'function' ? topology(nodes.length) : topology;
  if (typeof shape !== 'object' || shape === null) {
    throw new TypeError(`Cannot take topology: expected a shape, or what makes one, got ${describeValue(shape)}`);
  }
  const { name, size, edges } = shape;
  if (size !== nodes.length) {
    throw new RangeError(`Cannot connect nodes: the ${name} is for ${size} nodes, got ${nodes.length}`);
  }
  const addrs = nodes.map((node, i) => node.listeningAddr ?? refuse(node, i));
  return connectAlong(edges, nodes, addrs);
}

async function connectAlong(
  edges: Topology['edges'],
  nodes: readonly Node[],
  addrs: readonly string[],
): Promise<readonly TcpConnection[]> {
  const connections: TcpConnection[] = []; // Bounded by the edges.
  for (const [lower, higher] of edges) connections.push(await nodes[lower]!.connect(addrs[higher]!));
  return connections;
}

function refuse(node: Node, i: number): never {
  const what = node?.name === undefined ? describeValue(node) : `node ${node.name}`;
  throw new TypeError(`Cannot connect nodes: number ${i}, ${what}, does not listen`);
}
