/**
 * How much do many senders get into one receiver? 1, 10, 20, 50 and 100 connections of 32 KiB messages, as the original's
 * headline has it, but counted when they are processed; small messages from many; writes of 1 MiB; and 64 B and 1 KiB with
 * TLS, against the same without.
 *
 * All senders are in one process, each a node of its own; the receiver is another process. `sockets` are threads on bare
 * sockets in Rust that read and forget, as iperf3 does.
 */

import { buildPea2PeaPeer, pea2peaMissing } from '../interop/pea2pea-peer.ts';
import type { Bench, Claim, Measure } from './harness/bench.ts';
import { NodeEnd, Pair } from './harness/node-ends.ts';

const SENDERS = [1, 10, 20, 50, 100];
const QUICK_SENDERS = [1, 50];
const BYTES = 32_768;
const COUNT = 30_000;
/** One million and 500 000 messages a second, where bare node:net makes 7.8 and 1.1 million without TLS. */
const TLS = [
  { label: '64 B', bytes: 64, count: 1_000_000, goal: 0.13 },
  { label: '1 KiB', bytes: 1024, count: 300_000, goal: 0.46 },
];

/** Several receiving processes on one port, among which the kernel shares the connections. */
class SharedPort implements AsyncDisposable {
  readonly #receivers: readonly NodeEnd[];
  readonly #sender: NodeEnd;

  private constructor(receivers: readonly NodeEnd[], sender: NodeEnd) {
    this.#receivers = receivers;
    this.#sender = sender;
  }

  static async start(processes: number, connections: number): Promise<SharedPort> {
    const first = await NodeEnd.start('shoal', false, '127.0.0.1:0');
    const receivers = [first];
    while (receivers.length < processes) receivers.push(await NodeEnd.start('shoal', false, first.addr));
    const sender = await NodeEnd.start('shoal');
    await sender.connect(first.addr, connections);
    return new SharedPort(receivers, sender);
  }

  async rate(bytes: number, count: number, connections: number): Promise<number> {
    const all = count * connections;
    for (const receiver of this.#receivers) await receiver.call({ type: 'expect', count: Number.MAX_SAFE_INTEGER });
    const from = performance.now();
    const flooded = this.#sender.flood(bytes, count);
    for (let got = 0; got < all;) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      const counts = await Promise.all(this.#receivers.map((receiver) => receiver.count()));
      got = counts.reduce((sum, each) => sum + each, 0);
    }
    await flooded;
    return (all * 1000) / (performance.now() - from);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of [...this.#receivers, this.#sender]) await end[Symbol.asyncDispose]();
  }
}

export const nodeMany: Bench = {
  name: 'node-many',
  question: 'messages a second from many senders into one receiver, and with TLS',
  prepare: async (quick) => {
    const missing = pea2peaMissing();
    if (missing === false) buildPea2PeaPeer();
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const pairs: Pair[] = [];
    const add = (name: string, pair: Pair, bytes: number, count: number): void => {
      pairs.push(pair);
      measures.push({ name, unit: 'messages/s', round: () => pair.rate(bytes, Math.ceil(quick ? count / 12 : count)) });
    };
    const contest = async (
      what: string,
      bytes: number,
      count: number,
      senders: number,
      toRust: number | undefined,
    ): Promise<void> => {
      const subject = `${what}, shoal`;
      add(`${what}, raw`, await Pair.start('raw', 'raw', senders), bytes, count / senders);
      add(subject, await Pair.start('shoal', 'shoal', senders), bytes, count / senders);
      claims.push({ subject, baseline: `${what}, raw` });
      if (missing !== false) return;
      if (bytes >= BYTES) {
        add(`${what}, sockets`, await Pair.start('sockets', 'sockets', senders), bytes, count / senders);
        claims.push({ subject, baseline: `${what}, sockets`, goal: { ratio: 0.9 } });
      }
      if (toRust === undefined) return;
      add(`${what}, pea2pea`, await Pair.start('pea2pea', 'pea2pea', senders), bytes, count / senders);
      claims.push({ subject, baseline: `${what}, pea2pea`, goal: { ratio: toRust } });
    };
    for (const senders of quick ? QUICK_SENDERS : SENDERS)
      await contest(`${senders} × 32 KiB`, BYTES, COUNT, senders, 1);
    for (const senders of quick ? [10] : [10, 50]) await contest(`${senders} × 64 B`, 64, 2_000_000, senders, 1);
    await contest('1 × 1 MiB', 1_048_576, 1500, 1, undefined);
    const shared = await SharedPort.start(2, 50);
    const split = '50 × 32 KiB into 2 processes, shoal';
    measures.push({
      name: split,
      unit: 'messages/s',
      round: () => shared.rate(BYTES, Math.ceil((quick ? COUNT / 4 : COUNT) / 50), 50),
    });
    claims.push({ subject: split, baseline: '50 × 32 KiB, shoal' });
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
        await shared[Symbol.asyncDispose]();
      },
    };
  },
};
