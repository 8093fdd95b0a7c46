/**
 * How good are lookups of the DHT, and what do they cost? Everything in virtual time, with real signatures, from a seed.
 *
 * `node tools/launch.mjs bench/dht-simulation.ts`: all figures of docs/simulation.md (`--write` puts them there).
 * `-- --nodes=10000`: only that many nodes that join and look up, at 10 % loss, with CPU time and memory.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { encodeText } from '../src/base/bytes.ts';
import type { Dht } from '../src/overlay/kademlia/index.ts';
import { decodeRequest, encodeAnswer } from '../src/protocols/kademlia/binary-messages.ts';
import { FORM, type WireContact } from '../src/protocols/kademlia/messages.ts';
import { KeySpace, keyText } from '../src/protocols/kademlia/position.ts';
import { decodePeerId } from '../src/core/peer-id.ts';
import type { MemoryAddr } from '../src/swarms/memory/index.ts';
import { type SimulationResult, simulate } from '../src/testing/index.ts';
import { testKey } from '../src/testing/test-key.ts';
import { peerIdOfKey } from '../src/identity/fingerprints.ts';
import { dhtSimulation, SIMULATED_NETWORK } from '../test/support/dht-simulation.ts';

const { values } = parseArgs({
  options: {
    nodes: { type: 'string' },
    lookups: { type: 'string' },
    loss: { type: 'string', default: '0.1' },
    seed: { type: 'string', default: '1' },
    write: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);

const HOUR_MS = 3_600_000;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

async function timed(
  options: Parameters<typeof dhtSimulation>[0],
): Promise<SimulationResult & { readonly cpuS: number }> {
  const before = process.cpuUsage();
  const result = await simulate({ ...dhtSimulation({ seed, ...options }), onProgress: progress(options.nodes) });
  const { user, system } = process.cpuUsage(before);
  if (!result.isOk) throw new Error(`${options.nodes} nodes: ${result.failure?.message}`);
  return { ...result, cpuS: (user + system) / 1e6 };
}

function progress(
  nodes: number,
): (now: { readonly virtualMs: number; readonly realMs: number; readonly running: number }) => void {
  let shownAtMs = 0;
  return ({ virtualMs, realMs, running }) => {
    if (realMs - shownAtMs < 5000) return;
    shownAtMs = realMs;
    const [virtualS, realS] = [virtualMs / 1000, realMs / 1000].map((s) => s.toFixed(0));
    console.error(`${nodes} nodes: ${running} run, ${virtualS} virtual s in ${realS} s`);
  };
}

/** Lookups at several sizes of the network. */
async function sizes(): Promise<readonly string[]> {
  const rows = [
    '| nodes | log2 | hops (mean) | asks of a lookup | messages a node, join included |',
    '| --- | --- | --- | --- | --- |',
  ];
  for (const nodes of [16, 64, 256, 1024]) {
    const { metrics } = await timed({ nodes, lookups: 200, loss: 0 });
    const { hops, asked } = metrics.distributions;
    const each = Math.round(metrics.counts['messages']! / nodes);
    rows.push(`| ${nodes} | ${Math.log2(nodes)} | ${hops!.mean.toFixed(2)} | ${asked!.mean.toFixed(1)} | ${each} |`);
  }
  return rows;
}

/** How many of the true nearest nodes lookups find. */
async function overlaps(): Promise<readonly string[]> {
  const rows = [
    '| 500 nodes | overlap (mean) | 1 % of lookups find less than | median ms | share of lookups |',
    '| --- | --- | --- | --- | --- |',
  ];
  const cases = [
    ['no churn, no loss', { loss: 0 }],
    ['no churn, 10 % loss', { loss: 0.1 }],
    ['half-life 30 minutes, 10 % loss, an hour', { loss: 0.1, halfLifeMs: HOUR_MS / 2, durationMs: HOUR_MS }],
    ['half-life 5 minutes, 10 % loss, half an hour', { loss: 0.1, halfLifeMs: HOUR_MS / 12, durationMs: HOUR_MS / 2 }],
  ] as const;
  for (const [what, options] of cases) {
    const { metrics } = await timed({ nodes: 500, lookups: 1000, ...options });
    const { overlap, lookupMs } = metrics.distributions;
    const low = metrics.values('overlap')[Math.floor(overlap!.count / 100)]!;
    const { share } = metrics.attempts['lookup']!;
    rows.push(
      `| ${what} | ${percent(overlap!.mean)} | ${percent(low)} | ${Math.round(lookupMs!.p50)} | ${percent(share)} |`,
    );
  }
  return rows;
}

/** What a node costs that does nothing. */
async function idle(): Promise<readonly string[]> {
  const { metrics } = await timed({ nodes: 500, lookups: 1, loss: 0, durationMs: HOUR_MS });
  const course = metrics.courses['bytes']!;
  const from = course.find(([atMs]) => atMs > HOUR_MS / 6)!;
  const to = course.at(-1)!;
  const each = ((to[1] - from[1]) * 1000) / (to[0] - from[0]) / 500;
  return [`An idle node of 500 sends ${each.toFixed(0)} bytes a second for upkeep.`];
}

/** Half of the nodes name nobody but each other. */
async function eclipse(): Promise<readonly string[]> {
  const rows = ['| 400 nodes, half of them name only each other | peers found |', '| --- | --- |'];
  for (const [what, dht] of [
    ['one path', { paths: 1 }],
    ['four disjoint paths (`paths: 4`)', { paths: 4 }],
  ] as const) {
    const { metrics } = await liars(dht);
    rows.push(`| ${what} | ${percent(metrics.attempts['found']!.share)} |`);
  }
  return rows;
}

const isLiar = (index: number): boolean => index % 2 === 1;

async function liars(dht: { readonly paths: number }): Promise<SimulationResult> {
  const nodes = 400;
  const space = new KeySpace(SIMULATED_NETWORK);
  const contacts: WireContact[] = Array.from({ length: nodes }, (_, index) => index)
    .filter(isLiar)
    .map((index) => ({
      id: keyText(decodePeerId(peerIdOfKey(testKey(index).publicKey))!),
      addr: `\u0000@${index}`,
      form: FORM.binary,
    }));
  const honest = dhtSimulation({ nodes, seed, loss: 0, dht });
  const result = await simulate<Dht<MemoryAddr> | undefined>({
    ...honest,
    check: undefined,
    liveness: undefined,
    open: async (context) => {
      const { index, secureSwarm } = context;
      if (!isLiar(index)) return await honest.open(context);
      const swarm = secureSwarm(testKey(index).publicKey);
      swarm.serve(({ payload }) => {
        const request = decodeRequest(space.tag, payload);
        const isFind = typeof request === 'object' && request.query.op === 'find';
        const some = contacts.slice(index % 60, (index % 60) + 16);
        return encodeAnswer({
          reply: isFind ? { op: 'find', contacts: some } : { op: 'ping' },
          isClient: false,
          wallMs: context.realm.wallMs(),
        });
      });
      return undefined;
    },
    close: async (node) => await node?.close(),
    run: async (simulation) => {
      const all = simulation.running().flatMap(([, node]) => node ?? []);
      for (let i = 0; i < 500; i++) {
        const [asker, wanted] = [all[(7 * i) % all.length]!, all[(13 * i + 5) % all.length]!];
        asker.findNode(wanted.id).then(
          ({ peer }) => simulation.attempt('found', peer !== undefined),
          () => simulation.attempt('found', false),
        );
        await simulation.sleep(100);
      }
    },
  });
  if (!result.isOk) throw new Error(result.failure!.message);
  return result;
}

/** Announcing many keys, one by one and in a batch. */
async function providers(): Promise<readonly string[]> {
  const messages: number[] = [];
  let load: readonly number[] = [];
  const keys = Array.from({ length: 2000 }, (_, i) => encodeText(`key ${i}`));
  for (const isBatch of [false, true]) {
    const { metrics } = await simulate({
      ...dhtSimulation({ nodes: 200, seed, loss: 0, lookups: 1, durationMs: 600_000 }),
      run: async (simulation) => {
        const dht = simulation.node(7)!;
        const before = simulation.running().reduce((sum, [, node]) => sum + node.counters.sent, 0);
        if (isBatch) await dht.announce(keys, { timeoutMs: 300_000 });
        else for (const key of keys) await dht.announce([key], { timeoutMs: 60_000 });
        const after = simulation.running().reduce((sum, [, node]) => sum + node.counters.sent, 0);
        simulation.count('for keys', after - before);
        load = simulation.running().map(([, node]) => node.inspect().providedKeys);
      },
    });
    messages.push(metrics.counts['for keys']!);
  }
  const [one, many] = messages as [number, number];
  const mean = load.reduce((sum, each) => sum + each, 0) / load.length;
  return [
    `Announcing ${keys.length} keys in 200 nodes takes ${one} messages one by one and ${many} in a batch: ${(one / many).toFixed(0)} times fewer. ` +
      `Each node then holds ${Math.round(mean)} of them on average, and the one with the most ${Math.max(...load)}.`,
  ];
}

/** Two networks with another name and the same node to begin with. */
async function twoNetworks(): Promise<readonly string[]> {
  const base = dhtSimulation({ nodes: 100, seed, loss: 0, lookups: 1 });
  let foreign = 0;
  const { isOk, failure } = await simulate({
    ...base,
    open: (context) =>
      dhtSimulation({ nodes: 100, seed, dht: { networkName: `half ${context.index % 2}` } }).open(context),
    run: async (simulation) => {
      await simulation.sleep(5000);
      const halves = simulation.running().map(([index, node]) => [index % 2, node] as const);
      const idsOf = new Map(halves.map(([half, node]) => [node.id, half]));
      for (const [half, node] of halves) foreign += node.table().filter(({ id }) => idsOf.get(id) !== half).length;
    },
  });
  if (!isOk) throw new Error(failure!.message);
  return [
    `Two networks of 50 nodes each with the same bootstrap nodes: ${foreign} contacts of the other network in any table.`,
  ];
}

async function many(nodes: number): Promise<void> {
  const lookups = values.lookups === undefined ? nodes : Number(values.lookups);
  const result = await timed({ nodes, lookups, loss: Number(values.loss) });
  const { counts, attempts, distributions } = result.metrics;
  const { hops, asked, overlap } = distributions;
  console.log(
    `${nodes} nodes joined, ${attempts['lookup']!.all} lookups, ${percent(Number(values.loss))} loss, seed ${seed}`,
  );
  console.log(`CPU ${result.cpuS.toFixed(1)} s, resident ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`);
  console.log(
    `${(counts['messages']! / 2 / nodes).toFixed(1)} asks a node; of a lookup ${asked!.mean.toFixed(1)}, hops ${hops!.mean.toFixed(2)}`,
  );
  console.log(
    `overlap with the true nearest ${percent(overlap!.mean)}, lookups that succeed ${percent(attempts['lookup']!.share)}`,
  );
  console.log(`trace ${result.traceHash}`);
}

if (values.nodes !== undefined) await many(Number(values.nodes));
else {
  const parts: string[] = [];
  for (const part of [sizes, overlaps, idle, eclipse, providers, twoNetworks]) {
    const lines = await part();
    console.log(`${lines.join('\n')}\n`);
    parts.push(lines.join('\n'));
  }
  if (values.write) {
    const page = new URL('../docs/simulation.md', import.meta.url);
    const [begin, end] = ['<!-- figures -->', '<!-- end of figures -->'] as const;
    const text = readFileSync(page, 'utf8');
    const [head, tail] = [text.slice(0, text.indexOf(begin)), text.slice(text.indexOf(end))];
    writeFileSync(page, `${head}${begin}\n\n${parts.join('\n\n')}\n\n${tail}`);
  }
}
