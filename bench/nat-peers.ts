/**
 * How do peers behind NATs reach each other, when one public helper is all that they have in common?
 *
 * Nodes behind the published mix of NATs, in virtual time, each with a place at the helper; each asks others, and what becomes of every pair is
 * noted: the time to the first answer, the time to a path without a relay, and how many STUN messages both sides sent to each other's NAT.
 * `node tools/launch.mjs bench/nat-peers.ts --peers=200 --partners=4 --seed=1 --settle=150` (the seconds that direct
 * paths are waited for at the end); `--partners=199` is all pairs, fifty times as many. `--write`: makes docs/nat-200-peers.svg.
 */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadQuicEngine } from '../src/swarms/quic/index.ts';
import { type CrowdPair, meetAll, PUBLISHED_MIX, quantile } from '../test/support/nat-crowd.ts';
import { curves } from './harness/curves.ts';

const { values } = parseArgs({
  options: {
    peers: { type: 'string', default: '200' },
    partners: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    settle: { type: 'string', default: '150' },
    write: { type: 'boolean', default: false },
  },
});
const [peers, partners, seed] = [values.peers, values.partners, values.seed].map(Number) as [number, number, number];

const percent = (part: number, of: number): string => `${((100 * part) / of).toFixed(1)} %`;
const QUANTILES = [0.5, 0.9, 0.99, 1] as const;
const spread = (numbers: readonly number[]): string =>
  QUANTILES.map((share) => `${share === 1 ? 'most' : `${100 * share} %`} ${Math.round(quantile(numbers, share))}`).join(
    ', ',
  );

function tell(pairs: readonly CrowdPair[]): void {
  const first = pairs.flatMap(({ firstMs }) => firstMs ?? []);
  const direct = pairs.filter(({ directMs }) => directMs !== undefined);
  const possible = pairs.filter(({ isPossible }) => isPossible);
  const count = (kind: CrowdPair['kind']): string =>
    percent(pairs.filter((pair) => pair.kind === kind).length, pairs.length);
  const searched = pairs.filter(
    ({ a, b, isPossible }) => isPossible && [a, b].includes('random') && [a, b].includes('port'),
  );
  const steady = direct.filter((pair) => !searched.includes(pair));
  const mix = Object.entries(PUBLISHED_MIX).map(([kind, share]) => `${share} % ${kind}`);
  console.log(`${peers} peers (${mix.join(', ')}), seed ${seed}: ${pairs.length} pairs`);
  console.log(`answered: ${percent(first.length, pairs.length)}; ms: ${spread(first)}`);
  console.log(
    `without a relay in the end: ${percent(direct.length, pairs.length)} of ${percent(possible.length, pairs.length)} that theory allows`,
  );
  console.log(`paths at the end: dialled ${count('direct')}, punched ${count('punch')}, relayed ${count('relay')}`);
  console.log(`ms to a path without a relay: ${spread(direct.map(({ directMs }) => directMs!))}`);
  console.log(`STUN messages of a pair with steady or predicted ports: ${spread(steady.map(({ probes }) => probes))}`);
  console.log(
    `the same where random ports are searched (${searched.length} pairs): ${spread(searched.map(({ probes }) => probes))}`,
  );
}

await loadQuicEngine();
const settleMs = 1000 * Number(values.settle);
const pairs = await meetAll({ peers, partners, seed, settleMs, progress: (line) => console.error(line) });
tell(pairs);
if (values.write) {
  const relayed = pairs.filter(({ directMs }) => directMs === undefined).length;
  const svg = curves(
    {
      title: `${peers} peers behind the published mix of NATs, one helper`,
      subtitle: `${pairs.length} pairs, 40 ms round trip, seed ${seed}: ${percent(pairs.length - relayed, pairs.length)} without a relay, ${percent(relayed, pairs.length)} relayed`,
      total: pairs.length,
    },
    [
      { label: 'first answer', colour: '#1565c0', values: pairs.flatMap(({ firstMs }) => firstMs ?? []) },
      { label: 'path without a relay', colour: '#2e7d32', values: pairs.flatMap(({ directMs }) => directMs ?? []) },
    ],
  );
  writeFileSync(new URL('../docs/nat-200-peers.svg', import.meta.url), svg);
}
