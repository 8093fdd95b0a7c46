/**
 * How much do many senders get into one receiver? 1, 10, 20, 50 and 100 connections of 32 KiB messages, as the original's
 * headline has it, but counted when they are processed; and 64 B and 1 KiB with TLS, against the same without.
 *
 * All senders are in one process, each a node of its own; the receiver is another process.
 */

import { buildPea2PeaPeer, cargoMissing } from '../interop/pea2pea-peer.ts';
import { type Bench, type Claim, type Measure } from './harness/bench.ts';
import { Pair } from './harness/node-ends.ts';

const SENDERS = [1, 10, 20, 50, 100];
const BYTES = 32_768;
const COUNT = 30_000;
/** What the issue asks of TLS where plain bare node:net makes 7.8 M and 1.1 M messages a second. */
const TLS = [
  { label: '64 B', bytes: 64, count: 1_000_000, goal: 1 / 7.8 },
  { label: '1 KiB', bytes: 1024, count: 300_000, goal: 0.5 / 1.1 },
];

export const nodeMany: Bench = {
  name: 'node-many',
  question: 'messages a second from many senders into one receiver, and with TLS',
  prepare: async (quick) => {
    const missing = cargoMissing();
    if (missing === false) buildPea2PeaPeer();
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const pairs: Pair[] = [];
    const add = (name: string, pair: Pair, bytes: number, count: number): void => {
      pairs.push(pair);
      measures.push({ name, unit: 'messages/s', round: () => pair.rate(bytes, Math.ceil(quick ? count / 4 : count)) });
    };
    for (const senders of SENDERS) {
      const subject = `${senders} × 32 KiB, shoal`;
      const baseline = `${senders} × 32 KiB, raw`;
      add(baseline, await Pair.start('raw', 'raw', senders), BYTES, COUNT / senders);
      add(subject, await Pair.start('shoal', 'shoal', senders), BYTES, COUNT / senders);
      claims.push({ subject, baseline, goal: { ratio: 0.9 } });
    }
    if (missing === false) {
      const subject = '1 × 32 KiB, shoal';
      const baseline = '1 × 32 KiB, pea2pea';
      add(baseline, await Pair.start('pea2pea', 'pea2pea'), BYTES, COUNT);
      claims.push({ subject, baseline, goal: { ratio: 1 } });
    }
    for (const { label, bytes, count, goal } of TLS) {
      const [subject, baseline] = [`${label}, shoal with TLS`, `${label}, raw without`];
      add(baseline, await Pair.start('raw', 'raw'), bytes, count * 3);
      add(subject, await Pair.start('shoal-tls', 'shoal-tls'), bytes, count);
      claims.push({ subject, baseline, goal: { ratio: goal } });
    }
    return {
      measures,
      claims,
      controls: (figures) => [
        { what: 'every message was processed', ok: [...figures.values()].flat().every((figure) => figure > 0) },
      ],
      notes: () => (missing === false ? [] : [`pea2pea is left out: ${missing}`]),
      [Symbol.asyncDispose]: async () => {
        for (const pair of pairs) await pair[Symbol.asyncDispose]();
      },
    };
  },
};
