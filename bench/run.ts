/**
 * `npm run bench`: every bench; `npm run bench -- udp ring` those whose name has one of these parts; `--quick` for a first
 * impression, in about three minutes. Prints a table for each and one over all, and writes them with every figure to
 * bench/results/latest.local.json; `--publish` also updates docs/benchmarks.json, docs/benchmarks.svg and the table in
 * docs/benchmarks.md. Exit code 1 when a control failed: then the run cannot be trusted. A missed goal is a result, not an
 * error.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { asks } from './asks.ts';
import { endpointBench } from './endpoint.ts';
import { type Bench, type BenchResult, runBench } from './harness/bench.ts';
import { plot } from './harness/plot.ts';
import { PROGRAMS, type ProgramResult, runProgram } from './harness/programs.ts';
import { summaryOf, summaryTable } from './harness/summary.ts';
import { resultLines } from './harness/table.ts';
import { memoryTell } from './memory-tell.ts';
import { nodeLife } from './node-life.ts';
import { nodeMany } from './node-many.ts';
import { nodeMessages } from './node-messages.ts';
import { p2pkeMachine } from './p2pke-machine.ts';
import { p2pkeUdp } from './p2pke-udp.ts';
import { peersBench } from './peers.ts';
import { quicEngine } from './quic-engine.ts';
import { quicSwarm } from './quic-swarm.ts';
import { relayBench } from './relay.ts';
import { requests } from './requests.ts';
import { sendFile } from './send-file.ts';
import { ssh } from './ssh.ts';
import { tcpSwarm } from './tcp-swarm.ts';
import { udpPackets } from './udp-packets.ts';
import { virtualNats } from './virtual-nats.ts';
import { virtualRing } from './virtual-ring.ts';
import { masks } from './mask.ts';
import { wrappers } from './wrappers.ts';

const BENCHES: readonly Bench[] = [
  memoryTell,
  wrappers,
  masks,
  udpPackets,
  virtualRing,
  virtualNats,
  p2pkeMachine,
  p2pkeUdp,
  asks,
  quicEngine,
  quicSwarm,
  endpointBench,
  nodeMessages,
  nodeMany,
  nodeLife,
  tcpSwarm,
  ssh,
  peersBench,
  relayBench,
  requests,
  sendFile,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, publish: { type: 'boolean', default: false } },
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
const title = `${machine}${values.quick ? ', quick' : ''}`;
console.log(`${title}\n`);

const results: BenchResult[] = [];
const broken: string[] = [];
for (const bench of benches) {
  const startedAt = performance.now();
  try {
    const result = await runBench(bench, values.quick);
    results.push(result);
    console.log(resultLines(result).join('\n'));
  } catch (error) {
    // One that breaks takes nothing from the others, but the run cannot be called complete.
    broken.push(bench.name);
    console.log(`${bench.name} BROKE: ${error instanceof Error ? error.stack : String(error)}\n`);
  }
  console.log(`  took ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
}

const said: ProgramResult[] = [];
for (const program of programs) said.push(await runProgram(program, values.quick));

const rows = summaryOf(results);
console.log(`Everything, what missed its goal first:\n\n${summaryTable(rows)}\n`);

const folder = path.join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
const file = path.join(folder, 'latest.local.json');
const json = `${JSON.stringify({ machine, quick: values.quick, summary: rows, results, programs: said }, undefined, 2)}\n`;
writeFileSync(file, json);
writeFileSync(file.replace(/json$/, 'svg'), plot(rows, title));
if (values.publish) publish();

const count = (verdict: string): number => rows.filter((row) => row.verdict === verdict).length;
const trusted = results.every(({ controls }) => controls.every(({ ok }) => ok)) && said.every(({ ok }) => ok);
console.log(
  `${count('met')} goals met, ${count('missed')} missed; everything is in ${path.relative(process.cwd(), file)}`,
);
if (!trusted) console.log('A control failed: this run cannot be trusted.');
if (broken.length > 0) console.log(`Broke: ${broken.join(', ')}`);
process.exitCode = trusted && broken.length === 0 ? 0 : 1;

/** What readers of docs/benchmarks.md get to see. */
function publish(): void {
  const docs = path.join(import.meta.dirname, '..', 'docs');
  const page = path.join(docs, 'benchmarks.md');
  const [begin, end] = ['<!-- summary -->', '<!-- end of summary -->'];
  const text = readFileSync(page, 'utf8');
  const before = text.slice(0, text.indexOf(begin) + begin.length);
  const after = text.slice(text.indexOf(end));
  const rounds = results[0]?.rounds ?? 0;
  writeFileSync(page, `${before}\n\n${title}, ${rounds} rounds.\n\n${summaryTable(rows)}\n\n${after}`);
  writeFileSync(path.join(docs, 'benchmarks.json'), json);
  writeFileSync(path.join(docs, 'benchmarks.svg'), plot(rows, title));
}
