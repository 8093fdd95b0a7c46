/** Network topologies as adjacency lists: sorted, without loops, symmetric. */

import { wholeNumber } from './checks.ts';
import { type Seed, createSeededRandom } from './seeded-random.ts';

/** A network of `size` nodes, numbered from 0. */
export interface Topology {
  readonly name: string;
  readonly size: number;
  /** Neighbours of each node, ascending. */
  readonly neighbours: readonly (readonly number[])[];
  /** Each connection once, as `[lower, higher]`. */
  readonly edges: readonly (readonly [number, number])[];
  /** `matrix[i][j]`: whether i and j are connected. */
  matrix(): boolean[][];
}

/** Topologies by name. */
export interface Topologies {
  /** Each node connected with the next: n − 1 edges. */
  readonly line: (size: number) => Topology;
  /** A line with its ends connected: n edges for n ≥ 3; a line for fewer nodes. */
  readonly ring: (size: number) => Topology;
  /** Every pair of nodes: n (n − 1) / 2 edges. */
  readonly mesh: (size: number) => Topology;
  /** Node 0 connected with all others: n − 1 edges. */
  readonly hubAndSpoke: (size: number) => Topology;
  /** The same as {@link hubAndSpoke}: n − 1 edges. */
  readonly star: (size: number) => Topology;
  /** Rows of `width` nodes, each connected with its neighbours to the right and below: 2 · w · h − w − h edges. */
  readonly grid: (width: number, height: number) => Topology;
  /** A binary tree, node i above 2i + 1 and 2i + 2: n − 1 edges. */
  readonly tree: (size: number) => Topology;
  /**
   * A connected random graph with at least `degree` neighbours per node (all others if there are fewer): a ring, which
   * connects it, and random edges. At most n · degree edges.
   */
  readonly random: (size: number, degree: number, seed?: Seed) => Topology;
}

function build(name: string, size: number, connect: (join: (a: number, b: number) => void) => void): Topology {
  const sets = Array.from(
    { length: wholeNumber(size, 'size', 0, 0, Number.MAX_SAFE_INTEGER) },
    () => new Set<number>(),
  );
  connect((a, b) => {
    if (a === b) return;
    sets[a]!.add(b);
    sets[b]!.add(a);
  });
  const neighbours = sets.map((set) => [...set].toSorted((a, b) => a - b));
  const edges = neighbours.flatMap((others, a) => others.filter((b) => a < b).map((b) => [a, b] as const));
  return { name, size, neighbours, edges, matrix: () => sets.map((set) => sets.map((_, j) => set.has(j))) };
}

function line(size: number): Topology {
  return build('line', size, (join) => {
    for (let i = 1; i < size; i++) join(i - 1, i);
  });
}

function ring(size: number): Topology {
  return build('ring', size, (join) => {
    for (let i = 0; i < size; i++) join(i, (i + 1) % size);
  });
}

function mesh(size: number): Topology {
  return build('mesh', size, (join) => {
    for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) join(i, j);
  });
}

function hubAndSpoke(size: number): Topology {
  return build('hub-and-spoke', size, (join) => {
    for (let i = 1; i < size; i++) join(0, i);
  });
}

function star(size: number): Topology {
  return build('star', size, (join) => {
    for (let i = 1; i < size; i++) join(0, i);
  });
}

function grid(width: number, height: number): Topology {
  const [columns, rows] = [side(width, 'width'), side(height, 'height')];
  return build('grid', columns * rows, (join) => {
    for (let i = 0; i < columns * rows; i++) {
      if ((i + 1) % columns !== 0) join(i, i + 1);
      if (i + columns < columns * rows) join(i, i + columns);
    }
  });
}

function tree(size: number): Topology {
  return build('tree', size, (join) => {
    for (let i = 1; i < size; i++) join(Math.floor((i - 1) / 2), i);
  });
}

/** @throws {TypeError | RangeError} when it is not a valid side length of a grid. */
function side(length: number, label: string): number {
  return wholeNumber(length, label, 0, 0, Number.MAX_SAFE_INTEGER);
}

function random(size: number, degree: number, seed: Seed = 0): Topology {
  const wanted = Math.min(wholeNumber(degree, 'degree', 0, 0, Number.MAX_SAFE_INTEGER), Math.max(size - 1, 0));
  const source = createSeededRandom(seed);
  return build('random', size, (join) => {
    const sets = Array.from({ length: size }, () => new Set<number>());
    const connect = (a: number, b: number): void => {
      if (a === b) return;
      sets[a]!.add(b);
      sets[b]!.add(a);
      join(a, b);
    };
    if (wanted > 0) for (let i = 0; i < size; i++) connect(i, (i + 1) % size);
    for (let i = 0; i < size; i++) while (sets[i]!.size < wanted) connect(i, Math.floor(source.next() * size));
  });
}

/**
 * Topologies by name.
 *
 * @example
 * ```ts
 * for (const [i, j] of topology.ring(10).edges) connect(i, j);
 * ```
 */
export const topology: Topologies = { line, ring, mesh, hubAndSpoke, star, grid, tree, random };
