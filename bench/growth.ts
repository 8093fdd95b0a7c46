/**
 * What grows with the number of connections: memory of the server, CPU time of an ask that goes over one connection after the other, and
 * CPU time while nothing is said; and what a tell and an ask cost among so many nodes of a memory realm.
 *
 * `npm run bench -- growth`; `--quick` goes up to 1000 connections and 10 000 nodes; `--publish` writes the tables to
 * docs/benchmarks.md; names pick kinds. The server is one process; clients share processes of a thousand connections.
 */

import { parseArgs } from 'node:util';
import { Child, endAll } from './harness/child.ts';
import { cpuOf } from './harness/ends.ts';
import { putSection } from './harness/page.ts';
import { markdown } from './harness/summary.ts';
import type { GrowthKind, GrowthOrder, GrowthReport } from './growth-process.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, publish: { type: 'boolean', default: false } },
});
const wanted = (kind: string): boolean => positionals.length === 0 || positionals.some((part) => kind.includes(part));

/** Each QUIC swarm of a client has an engine of its own, so that ten thousand do not fit into this machine; an endpoint dials as often as it likes. */
const CONNECTIONS: Readonly<Record<GrowthKind, readonly number[]>> = {
  'TCP swarm': [100, 1000, 10_000],
  'TCP node': [100, 1000, 10_000],
  'QUIC swarm': [100, 1000],
  'QUIC endpoint': [100, 1000, 10_000],
};
const NODES = [100, 1000, 10_000, 100_000];
const PER_PROCESS = 1000;
const [ASKS_MS, IDLE_MS] = values.quick ? [2000, 5000] : [5000, 20_000];
const IN_FLIGHT = 64;
const SETTLE_MS = 2000;
/** At most so many KiB for each of ten thousand idle QUIC connections, and so many µs for a tell and an ask among 100 000 nodes. */
const GOALS = { quicKib: 40, tellUs: 2, askUs: 15 };

type End = Child<GrowthOrder, GrowthReport>;
const start = (): End => new Child(new URL('growth-process.ts', import.meta.url));
const PATIENCE_MS = 600_000;
const judged = (text: string, goal: number | undefined, figure: number): string =>
  goal === undefined ? text : `${text} (goal ≤ ${goal}: ${figure <= goal ? 'met' : '**missed**'})`;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A row of the table. */
async function grow(kind: GrowthKind, connections: number): Promise<readonly string[]> {
  const server = start();
  const clients = Array.from({ length: Math.ceil(connections / PER_PROCESS) }, start);
  try {
    const { addr } = await server.order({ do: 'serve', kind });
    const resident = async (): Promise<number> => (await server.order({ do: 'memory' })).rssBytes!;
    const before = await resident();
    const each = connections / clients.length;
    // One after the other, so that the server is not flooded with handshakes.
    for (const [from, client] of clients.entries()) {
      await client.order({ do: 'connect', kind, addr: addr!, count: each, from }, PATIENCE_MS);
    }
    await pause(SETTLE_MS);
    const kib = ((await resident()) - before) / connections / 1024;
    const idle = await cpuOf([server], () => pause(IDLE_MS));
    const inFlight = Math.ceil(IN_FLIGHT / clients.length);
    const ask = () => Promise.all(clients.map((client) => client.order({ do: 'asks', forMs: ASKS_MS, inFlight })));
    await ask();
    const { result, cpuUs } = await cpuOf([server, ...clients], ask);
    const count = result.reduce((sum, report) => sum + report.count!, 0);
    const isGoal = kind.startsWith('QUIC') && connections === 10_000;
    return [
      kind,
      connections.toLocaleString('en').replaceAll(',', ' '),
      judged(kib.toFixed(1), isGoal ? GOALS.quicKib : undefined, kib),
      (cpuUs / count).toFixed(1),
      `${((count * 1000) / ASKS_MS / 1000).toFixed(1)} k`,
      `${((100 * idle.cpuUs) / 1000 / IDLE_MS).toFixed(2)} %`,
    ];
  } finally {
    await endAll([...clients, server]);
  }
}

async function realm(nodes: number): Promise<readonly string[]> {
  const process = start();
  try {
    const { tellUs, askUs } = await process.order({ do: 'realm', nodes, forMs: values.quick ? 1000 : 3000 });
    const isGoal = nodes === 100_000;
    return [
      nodes.toLocaleString('en').replaceAll(',', ' '),
      judged(tellUs!.toFixed(2), isGoal ? GOALS.tellUs : undefined, tellUs!),
      judged(askUs!.toFixed(2), isGoal ? GOALS.askUs : undefined, askUs!),
    ];
  } finally {
    await endAll([process]);
  }
}

const rows: (readonly string[])[] = [];
for (const [kind, sizes] of Object.entries(CONNECTIONS) as [GrowthKind, readonly number[]][]) {
  for (const connections of sizes.filter((size) => wanted(kind) && (!values.quick || size <= 1000))) {
    try {
      rows.push(await grow(kind, connections));
    } catch (error) {
      rows.push([kind, String(connections), `failed: ${String(error).split('\n')[0]!}`, '', '', '']);
      process.exitCode = 1;
    }
    console.log(rows.at(-1)!.join('  '));
  }
}
const realms: (readonly string[])[] = [];
for (const nodes of NODES.filter((size) => wanted('memory realm') && (!values.quick || size <= 10_000))) {
  realms.push(await realm(nodes));
  console.log(['memory realm', ...realms.at(-1)!].join('  '));
}
const header = ['Server', 'Connections', 'KiB each', 'CPU µs an ask', 'asks/s', 'CPU while idle'];
const tables = [
  ...(rows.length > 0 ? [markdown(header, rows)] : []),
  ...(realms.length > 0 ? [markdown(['Nodes of a memory realm', 'CPU µs a tell', 'CPU µs an ask'], realms)] : []),
].join('\n\n');
console.log(`\n${tables}`);
if (values.publish) {
  putSection('growth', `Node ${process.version}, both ends on one machine with two cores, asks of 64 B.\n\n${tables}`);
}
