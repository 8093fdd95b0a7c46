/**
 * `npm run bench`: every bench; `npm run bench -- udp ring` those whose name has one of these parts; `--quick` for a first
 * impression. Prints tables and writes bench/results/latest.local.json. Exit code 1 when a control failed: then the run
 * cannot be trusted. A missed goal is a result, not an error.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Bench, type BenchResult, runBench } from './harness/bench.ts';
import { PROGRAMS, type ProgramResult, runProgram } from './harness/programs.ts';
import { resultLines } from './harness/table.ts';
import { endpointBench } from './endpoint.ts';
import { memoryTell } from './memory-tell.ts';
import { nodeLife } from './node-life.ts';
import { nodeMany } from './node-many.ts';
import { nodeMessages } from './node-messages.ts';
import { p2pkeMachine } from './p2pke-machine.ts';
import { p2pkeUdp } from './p2pke-udp.ts';
import { quicEngine } from './quic-engine.ts';
import { quicSwarm } from './quic-swarm.ts';
import { tcpSwarm } from './tcp-swarm.ts';
import { udpPackets } from './udp-packets.ts';
import { virtualRing } from './virtual-ring.ts';

const BENCHES: readonly Bench[] = [
  memoryTell,
  udpPackets,
  virtualRing,
  p2pkeMachine,
  p2pkeUdp,
  quicEngine,
  quicSwarm,
  endpointBench,
  nodeMessages,
  nodeMany,
  nodeLife,
  tcpSwarm,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false } },
});
const wanted = ({ name }: { readonly name: string }): boolean =>
  positionals.length === 0 || positionals.some((part) => name.includes(part));
const [benches, programs] = [BENCHES.filter(wanted), PROGRAMS.filter(wanted)];
if (benches.length + programs.length === 0) {
  const names = [...BENCHES, ...PROGRAMS].map(({ name }) => name).join(', ');
  console.error(`No bench is called ${positionals.join(' ')}; there are ${names}`);
  process.exit(1);
}

const machine = `Node ${process.version}, ${process.platform} ${process.arch}, ${cpus().length} × ${cpus()[0]?.model ?? '?'}`;
console.log(`${machine}${values.quick ? ', quick' : ''}\n`);

const results: BenchResult[] = [];
for (const bench of benches) {
  const result = await runBench(bench, values.quick);
  results.push(result);
  console.log(resultLines(result).join('\n'));
}

const said: ProgramResult[] = [];
for (const program of programs) said.push(await runProgram(program, values.quick));

const folder = path.join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
const file = path.join(folder, 'latest.local.json');
writeFileSync(file, `${JSON.stringify({ machine, quick: values.quick, results, programs: said }, undefined, 2)}\n`);

const rows = results.flatMap((result) => result.rows);
const count = (verdict: string): number => rows.filter((row) => row.verdict === verdict).length;
const trusted = results.every(({ controls }) => controls.every(({ ok }) => ok)) && said.every(({ ok }) => ok);
console.log(
  `${count('met')} goals met, ${count('missed')} missed; everything is in ${path.relative(process.cwd(), file)}`,
);
if (!trusted) console.log('A control failed: this run cannot be trusted.');
process.exitCode = trusted ? 0 : 1;
