/**
 * pea2pea's headline, "over 10 GB/s in favorable scenarios", repeated on this machine: 1, 10, 20, 50 and 100 senders of 32 KiB messages, each of
 * which awaits that a message is in the kernel before it sends the next, into one receiver; in GB/s. The original counted messages when they were
 * decoded, and then dropped a third to a half of them; here each is processed.
 */

import type { Bench, Claim, Measure } from './harness/bench.ts';
import { endAll } from './harness/child.ts';
import { LazyPair } from './harness/node-ends.ts';

const SENDERS = [1, 10, 20, 50, 100];
const BYTES = 32_768;
/** Each sender awaits each message. */
const BATCH = 1;

export const nodeHeadline: Bench = {
  name: 'node-headline',
  question:
    'GB/s from many senders of 32 KiB that await each message, as in the headline of pea2pea, beside pea2pea 0.57',
  prepare: () => {
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const pairs: LazyPair[] = [];
    for (const senders of SENDERS) {
      const name = (kind: string): string => `${senders} × 32 KiB awaited, ${kind}`;
      for (const [kind, from] of [
        ['shoal', 'shoal'],
        ['shoal-borrowed', 'shoal'],
        ['pea2pea', 'pea2pea'],
      ] as const) {
        const pair = new LazyPair(from, kind, senders);
        pairs.push(pair);
        measures.push(pair.flood(name(kind), BYTES, 4000, BATCH, 'GB/s'));
      }
      claims.push(
        { subject: name('shoal'), baseline: name('pea2pea') },
        { subject: name('shoal-borrowed'), baseline: name('pea2pea') },
      );
    }
    return { measures, claims, controls: [], [Symbol.asyncDispose]: () => endAll(pairs) };
  },
};
