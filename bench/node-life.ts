/**
 * What else a node does all day: round trips, connections that come and go, nodes that start and stop, one-byte messages
 * in batches. Against bare node:net and the real pea2pea; all figures are rates, so that more is better.
 */

import { pea2peaMissing } from '../interop/pea2pea-peer.ts';
import { type Bench, type Claim, counted, type Measure, ROUND_MS } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import type { Cores } from './harness/ends.ts';
import { type End, type Kind, LazyPair, NodeEnd, type Pair, RustEnd } from './harness/node-ends.ts';

/** Messages that are sent before their sender waits until they are in the kernel, and how many at first. */
const BATCHES = [
  { batch: 1, first: 5000 },
  { batch: 10, first: 40_000 },
  { batch: 100, first: 200_000 },
  { batch: 1000, first: 400_000 },
];

/** Clients that come and go at once. */
const CLIENTS = 50;
const NODES = 100;
const KINDS = ['raw', 'shoal', 'pea2pea'] as const satisfies readonly Kind[];

/** Round trips; the figure is that of the median. */
function roundTrips(kind: Kind, pair: LazyPair, tails: Map<Kind, number>): Measure {
  let count = 10_000;
  return {
    name: `round trips, ${kind}`,
    unit: 'median/s',
    on: 'one core',
    missing: pair.missing,
    ends: pair.ends,
    round: async () => {
      const { sender } = await pair.get();
      const began = performance.now();
      const { p50, p99 } = await sender.ping(32, count);
      const operations = count;
      count = Math.ceil((count * 1.1 * ROUND_MS) / (performance.now() - began));
      tails.set(kind, p99);
      return { figure: 1e9 / p50, operations };
    },
  };
}

export const nodeLife: Bench = {
  name: 'node-life',
  question: 'round trips, connections, nodes and tiny messages a second, against bare node:net and pea2pea 0.57',
  prepare: () => {
    const open: AsyncDisposable[] = [];
    const measures: Measure[] = [];
    const keep = <T extends AsyncDisposable>(one: T): T => {
      open.push(one);
      return one;
    };
    const tails = new Map<Kind, number>();
    for (const kind of KINDS) {
      const pair = keep(new LazyPair(kind, kind, 1, true));
      measures.push(roundTrips(kind, pair, tails));
      const both = keep(new LazyPair(kind, kind, 0));
      /** What takes so many nanoseconds for each. */
      const timed = (
        what: string,
        unit: string,
        first: number,
        on: Cores,
        ns: (pair: Pair, count: number) => Promise<number>,
        step = 1,
      ): void =>
        void measures.push({
          name: `${what}, ${kind}`,
          unit,
          on,
          missing: both.missing,
          ends: both.ends,
          round: counted(async (count) => (await ns(await both.get(), count)) / 1e6, first, 1, step),
        });
      timed('connect and disconnect', 'cycles/s', 1000, 'one core', ({ sender, receiver }, count) =>
        sender.cycle(receiver.addr, count),
      );
      if (kind === 'raw') continue;
      timed('start and stop', 'nodes/s', 1000, 'one core', ({ sender }, count) => sender.nodes(count));
      timed(
        `churn of ${CLIENTS} clients`,
        'cycles/s',
        1000,
        'two cores',
        ({ sender, receiver }, count) => sender.churn(receiver.addr, CLIENTS, count / CLIENTS),
        CLIENTS,
      );
      const tiny = keep(new LazyPair(kind, kind));
      measures.push(tiny.flood(`one byte, ${kind}`, 1, 500_000));
      for (const { batch, first } of BATCHES) {
        measures.push(tiny.flood(`one byte, batches of ${batch}, ${kind}`, 1, first, batch));
      }
    }
    /** One message along a line of nodes in one process, again and again. */
    const hops = <T extends End>(name: string, line: Lazy<T>, ns: (line: T, times: number) => Promise<number>): void =>
      void measures.push({
        name,
        unit: 'hops/s',
        on: 'one core',
        missing: name.endsWith('pea2pea') ? pea2peaMissing : undefined,
        ends: async () => [await line.get()],
        round: counted(
          async (count) => (await ns(await line.get(), count / (NODES - 1))) / 1e6,
          50 * (NODES - 1),
          1,
          NODES - 1,
        ),
      });
    hops('hops along 100 nodes, shoal', keep(new Lazy(() => NodeEnd.start('shoal'))), async (line, count) => {
      const { ns } = await line.order({ type: 'hops', nodes: NODES, count });
      return ns!;
    });
    hops('hops along 100 nodes, pea2pea', keep(new Lazy(() => RustEnd.start('pea2pea', 'relay'))), (line, count) =>
      line.hops(NODES, count),
    );
    const claims: Claim[] = [
      'round trips',
      'connect and disconnect',
      'start and stop',
      `churn of ${CLIENTS} clients`,
      'one byte',
      ...BATCHES.map(({ batch }) => `one byte, batches of ${batch}`),
    ].flatMap((what) => {
      const subject = `${what}, shoal`;
      const isWithoutGoal = what.startsWith('churn');
      const rust = { subject, baseline: `${what}, pea2pea`, goal: isWithoutGoal ? undefined : { ratio: 1 } };
      if (what === 'round trips') return [rust, { subject, baseline: `${what}, raw`, goal: { ratio: 0.8 } }];
      return what.startsWith('connect') ? [rust, { subject, baseline: `${what}, raw` }] : [rust];
    });
    claims.push(
      { subject: 'hops along 100 nodes, shoal', baseline: 'hops along 100 nodes, pea2pea' },
      { subject: 'hops along 100 nodes, shoal', baseline: 'round trips, shoal' },
    );
    return {
      measures,
      claims,
      controls: [],
      notes: () =>
        [...tails].map(
          ([kind, p99]) => `${kind}: the slowest hundredth of round trips took ${(p99 / 1000).toFixed(0)} µs`,
        ),
      [Symbol.asyncDispose]: () => endAll(open),
    };
  },
};
