/**
 * How many messages a second does the node send and process, over one connection between two processes?
 *
 * Baselines of the same run: bare node:net with the same frames and the same coalescing, written by hand (node-raw.ts), and
 * the real pea2pea, where cargo is. The clock runs from before the first message is sent until the receiver has processed
 * the last. Cross pairs, shoal to pea2pea and back, are measured too. Control: every pair processes every message, or its
 * round would not end.
 */

import { buildPea2PeaPeer, pea2peaMissing } from '../interop/pea2pea-peer.ts';
import type { Bench, Claim, Measure } from './harness/bench.ts';
import { type Kind, Pair } from './harness/node-ends.ts';

interface Case {
  readonly label: string;
  readonly bytes: number;
  /** Messages a round: about a second of the slowest. */
  readonly count: number;
  /** The least ratios to pea2pea and to bare node:net. */
  readonly toRust: number;
  readonly toRaw: number | undefined;
}

const CASES: readonly Case[] = [
  { label: '64 B', bytes: 64, count: 3_000_000, toRust: 2, toRaw: 0.9 },
  { label: '1 KiB', bytes: 1024, count: 700_000, toRust: 1, toRaw: 0.9 },
  { label: '32 KiB', bytes: 32_768, count: 30_000, toRust: 1.2, toRaw: undefined },
  { label: '256 KiB', bytes: 262_144, count: 5000, toRust: 1, toRaw: undefined },
];

const PAIRS: readonly (readonly [Kind, Kind])[] = [
  ['raw', 'raw'],
  ['shoal', 'shoal'],
  ['pea2pea', 'pea2pea'],
  ['shoal', 'pea2pea'],
  ['pea2pea', 'shoal'],
];

export const nodeMessages: Bench = {
  name: 'node-messages',
  question: 'messages a second processed over one TCP connection, against bare node:net and pea2pea 0.57',
  prepare: async (quick) => {
    const missing = pea2peaMissing();
    if (missing === false) buildPea2PeaPeer();
    const kinds = PAIRS.filter(([from, to]) => missing === false || (from !== 'pea2pea' && to !== 'pea2pea'));
    const pairs = new Map<string, Pair>();
    for (const [from, to] of kinds) pairs.set(`${from} to ${to}`, await Pair.start(from, to));
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const { label, bytes, count, toRust, toRaw } of CASES) {
      const messages = quick ? Math.ceil(count / 8) : count;
      for (const [name, pair] of pairs) {
        measures.push({ name: `${label}, ${name}`, unit: 'messages/s', round: () => pair.rate(bytes, messages) });
      }
      const subject = `${label}, shoal to shoal`;
      const goal = toRaw === undefined ? undefined : { ratio: toRaw };
      claims.push({ subject, baseline: `${label}, raw to raw`, goal });
      if (missing !== false) continue;
      claims.push({ subject, baseline: `${label}, pea2pea to pea2pea`, goal: { ratio: toRust } });
      claims.push({ subject: `${label}, shoal to pea2pea`, baseline: `${label}, pea2pea to pea2pea` });
      claims.push({ subject: `${label}, pea2pea to shoal`, baseline: `${label}, pea2pea to pea2pea` });
    }
    return {
      measures,
      claims,
      controls: (figures) => [
        {
          what: 'every message of every pair was processed',
          ok: [...figures.values()].flat().every((figure) => figure > 0),
        },
      ],
      notes: () => (missing === false ? [] : [`pea2pea is left out: ${missing}`]),
      [Symbol.asyncDispose]: async () => {
        for (const pair of pairs.values()) await pair[Symbol.asyncDispose]();
      },
    };
  },
};
