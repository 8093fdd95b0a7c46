/**
 * How many messages a second does the node send and process, over one connection between two processes?
 *
 * Baselines of the same run: bare node:net with the same frames and the same coalescing, written by hand (node-raw.ts), and
 * the real pea2pea, where cargo is. The clock runs from before the first message is sent until the receiver has processed
 * the last; a round ends only when every message was processed. Cross pairs, shoal to pea2pea and back, are measured too.
 */

import type { Bench, Claim, Measure } from './harness/bench.ts';
import { endAll } from './harness/child.ts';
import { type Kind, LazyPair } from './harness/node-ends.ts';

interface Case {
  readonly label: string;
  readonly bytes: number;
  /** Messages at first: about a quarter of a second of the slowest. */
  readonly first: number;
  /** The least ratios to pea2pea and to bare node:net. */
  readonly toRust: number;
  readonly toRaw: number | undefined;
}

const CASES: readonly Case[] = [
  { label: '64 B', bytes: 64, first: 500_000, toRust: 2, toRaw: 0.9 },
  { label: '1 KiB', bytes: 1024, first: 100_000, toRust: 1, toRaw: 0.9 },
  { label: '32 KiB', bytes: 32_768, first: 5000, toRust: 1.2, toRaw: undefined },
  { label: '256 KiB', bytes: 262_144, first: 1000, toRust: 1, toRaw: undefined },
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
  prepare: () => {
    const pairs = new Map(PAIRS.map(([from, to]) => [`${from} to ${to}`, new LazyPair(from, to)]));
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const { label, bytes, first, toRust, toRaw } of CASES) {
      for (const [name, pair] of pairs) measures.push(pair.flood(`${label}, ${name}`, bytes, first));
      const [subject, rust] = [`${label}, shoal to shoal`, `${label}, pea2pea to pea2pea`];
      claims.push(
        { subject, baseline: `${label}, raw to raw`, goal: toRaw === undefined ? undefined : { ratio: toRaw } },
        { subject, baseline: rust, goal: { ratio: toRust } },
        { subject: `${label}, shoal to pea2pea`, baseline: rust },
        { subject: `${label}, pea2pea to shoal`, baseline: rust },
      );
    }
    return {
      measures,
      claims,
      controls: [],
      [Symbol.asyncDispose]: () => endAll(pairs.values()),
    };
  },
};
