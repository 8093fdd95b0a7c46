/**
 * What else a node does all day: round trips, connections that come and go, nodes that start and stop, one-byte messages
 * in batches. Against bare node:net and the real pea2pea; all figures are rates, so that more is better.
 */

import { buildPea2PeaPeer, pea2peaMissing } from '../interop/pea2pea-peer.ts';
import type { Bench, Claim, Measure } from './harness/bench.ts';
import { type Kind, NodeEnd, Pair, RustEnd, startEnd } from './harness/node-ends.ts';

/** Messages that are sent before their sender waits until they are in the kernel, and how many in a round. */
const BATCHES = [
  { batch: 1, count: 20_000 },
  { batch: 10, count: 150_000 },
  { batch: 100, count: 800_000 },
  { batch: 1000, count: 1_500_000 },
];

/** Clients that come and go at once. */
const CLIENTS = 50;

export const nodeLife: Bench = {
  name: 'node-life',
  question: 'round trips, connections, nodes and tiny messages a second, against bare node:net and pea2pea 0.57',
  prepare: async (quick) => {
    const missing = pea2peaMissing();
    if (missing === false) buildPea2PeaPeer();
    const kinds: Kind[] = missing === false ? ['raw', 'shoal', 'pea2pea'] : ['raw', 'shoal'];
    const scale = quick ? 0.25 : 1;
    const times = (count: number): number => Math.ceil(count * scale);
    const open: AsyncDisposable[] = [];
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const keep = <T extends AsyncDisposable>(one: T): T => {
      open.push(one);
      return one;
    };
    const tails = new Map<Kind, number>();
    for (const kind of kinds) {
      const pair = keep(await Pair.start(kind, kind, 1, true));
      measures.push({
        name: `round trips, ${kind}`,
        unit: 'median/s',
        round: async () => {
          const { p50, p99 } = await pair.sender.ping(32, times(20_000));
          tails.set(kind, p99);
          return 1e9 / p50;
        },
      });
      const [from, to] = [keep(await startEnd(kind)), keep(await startEnd(kind))];
      measures.push({
        name: `connect and disconnect, ${kind}`,
        unit: 'cycles/s',
        round: async () => (times(2000) * 1e9) / (await from.cycle(to.addr, times(2000))),
      });
      if (kind === 'raw') continue;
      measures.push({
        name: `start and stop, ${kind}`,
        unit: 'nodes/s',
        round: async () => (times(1000) * 1e9) / (await from.nodes(times(1000))),
      });
      measures.push({
        name: `churn of ${CLIENTS} clients, ${kind}`,
        unit: 'cycles/s',
        round: async () => (CLIENTS * times(20) * 1e9) / (await from.churn(to.addr, CLIENTS, times(20))),
      });
      const tiny = keep(await Pair.start(kind, kind));
      measures.push({ name: `one byte, ${kind}`, unit: 'messages/s', round: () => tiny.rate(1, times(2_000_000)) });
      for (const { batch, count } of BATCHES) {
        const name = `one byte, batches of ${batch}, ${kind}`;
        measures.push({ name, unit: 'messages/s', round: () => tiny.rate(1, times(count), batch) });
      }
    }
    const line = keep(await NodeEnd.start('shoal'));
    measures.push({
      name: 'hops along 100 nodes, shoal',
      unit: 'hops/s',
      round: async () => {
        const messages = times(200);
        const { ns } = await line.call({ type: 'hops', nodes: 100, count: messages });
        return (messages * 99 * 1e9) / ns!;
      },
    });
    const hops = { subject: 'hops along 100 nodes, shoal', baseline: 'hops along 100 nodes, pea2pea' };
    if (missing === false) {
      const theirs = keep(await RustEnd.start('pea2pea', 'relay'));
      measures.push({
        name: hops.baseline,
        unit: 'hops/s',
        round: async () => (times(200) * 99 * 1e9) / (await theirs.hops(100, times(200))),
      });
      claims.push(hops);
    }
    const batches = BATCHES.map(({ batch }) => `one byte, batches of ${batch}`);
    for (const what of [
      'round trips',
      'connect and disconnect',
      'start and stop',
      `churn of ${CLIENTS} clients`,
      'one byte',
      ...batches,
    ]) {
      const subject = `${what}, shoal`;
      const goal = what.startsWith('churn') ? undefined : { ratio: 1 };
      if (missing === false) claims.push({ subject, baseline: `${what}, pea2pea`, ...(goal && { goal }) });
      if (what.startsWith('round') || what.startsWith('connect')) claims.push({ subject, baseline: `${what}, raw` });
    }
    claims.push({ subject: hops.subject, baseline: 'round trips, shoal' });
    return {
      measures,
      claims,
      controls: (figures) => [
        { what: 'every part came to an end', ok: [...figures.values()].flat().every((figure) => figure > 0) },
      ],
      notes: () => [
        ...[...tails].map(
          ([kind, p99]) => `${kind}: the slowest hundredth of round trips took ${(p99 / 1000).toFixed(0)} µs`,
        ),
        ...(missing === false ? [] : [`pea2pea is left out: ${missing}`]),
      ],
      [Symbol.asyncDispose]: async () => {
        for (const one of open) await one[Symbol.asyncDispose]();
      },
    };
  },
};
