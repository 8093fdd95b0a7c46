/**
 * What connections cost in memory: 10 000 idle ones held by one node (`--connections=N` for more), and a dense mesh of 200
 * nodes in one process; against the real pea2pea where cargo is. Prints tables.
 */

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { pea2peaMissing } from '../interop/pea2pea-peer.ts';
import { connectNodes, createNode, lengthDelimited, reading, writing } from '../src/node/index.ts';
import { topology } from '../src/testing/topology.ts';
import { type Kind, NodeEnd, startEnd } from './harness/node-ends.ts';

const { values } = parseArgs({
  options: { connections: { type: 'string', default: '10000' }, mesh: { type: 'string', default: '200' } },
});
const connections = Number(values.connections);
/** Both ends of the mesh are in this process, so its files may not be enough. */
const mesh = Math.min(Number(values.mesh), Math.floor(Math.sqrt(0.9 * maxOpenFiles())));
/** Each process that dials holds so many; the limit of open files is per process. */
const PER_INITIATOR = 5000;

function maxOpenFiles(): number {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  } catch {
    return 10_000; // No /proc: what most systems allow at least.
  }
}

async function idle(kind: Kind): Promise<number> {
  await using holder = await startEnd(kind);
  const before = await holder.memory();
  const initiators: NodeEnd[] = [];
  for (let left = connections; left > 0; left -= PER_INITIATOR) {
    const initiator = await NodeEnd.start('raw');
    initiators.push(initiator);
    // Each from an IP of its own, since an IP has 28 000 ports for one address.
    await initiator.connect(holder.addr, Math.min(left, PER_INITIATOR), `127.0.0.${initiators.length + 1}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = await holder.memory();
  for (const initiator of initiators) await initiator[Symbol.asyncDispose]();
  return (after - before) / connections;
}

async function denseMesh(): Promise<readonly [number, number]> {
  const collect: unknown = Reflect.get(globalThis, 'gc');
  const resident = (): number => {
    if (typeof collect === 'function') collect();
    return process.memoryUsage.rss();
  };
  const before = resident();
  const codec = lengthDelimited();
  let heard = 0;
  const nodes = Array.from({ length: mesh }, () => {
    const node = createNode({ security: 'none', codec, bind: '127.0.0.1:0', maxConnectionsPerIp: 1000 });
    node.enable(reading({ onMessage: () => void heard++ }));
    node.enable(writing());
    return node;
  });
  for (const node of nodes) await node.listen();
  const alone = resident();
  await connectNodes(nodes, topology.mesh);
  const ends = mesh * (mesh - 1);
  while (nodes.reduce((sum, { connected }) => sum + connected, 0) < ends)
    await new Promise((resolve) => setImmediate(resolve));
  const connected = resident();
  const from = performance.now();
  for (const node of nodes) node.broadcast(new Uint8Array(1024));
  while (heard < ends) await new Promise((resolve) => setImmediate(resolve));
  const ms = performance.now() - from;
  console.log(`mesh of ${mesh}: ${ends} ends, a broadcast of 1 KiB by all took ${ms.toFixed(0)} ms`);
  await Promise.all(nodes.map((node) => node.close()));
  return [(alone - before) / mesh, (connected - alone) / ends];
}

const kib = (bytes: number): string => `${(bytes / 1024).toFixed(1)} KiB`;
const missing = pea2peaMissing();
const figures = new Map<Kind, number>();
for (const kind of missing === false ? (['shoal', 'raw', 'pea2pea'] as const) : (['shoal', 'raw'] as const)) {
  figures.set(kind, await idle(kind));
  console.log(`${connections} idle connections, ${kind}: ${kib(figures.get(kind)!)} each`);
}
const theirs = figures.get('pea2pea');
if (theirs !== undefined) {
  const ratio = figures.get('shoal')! / theirs;
  console.log(`shoal to pea2pea: ${ratio.toFixed(2)}×, the goal is ≤ 1.2×: ${ratio <= 1.2 ? 'met' : 'missed'}`);
} else console.log(`pea2pea is left out: ${missing}`);
if (mesh < Number(values.mesh)) console.log(`the mesh has ${mesh} nodes: this process may not open files for more`);
const [perNode, perEnd] = await denseMesh();
console.log(`mesh of ${mesh}: ${kib(perNode)} a node that listens, ${kib(perEnd)} an end of a connection`);
