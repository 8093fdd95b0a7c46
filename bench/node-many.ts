/**
 * How much do many senders get into one receiver? 1, 10, 20, 50 and 100 connections of 32 KiB messages, as the original's
 * headline has it, but counted when they are processed; small messages from many; writes of 1 MiB; and 64 B and 1 KiB with
 * TLS, against the same without.
 *
 * All senders are in one process, each a node of its own; the receiver is another process. `sockets` are threads on bare
 * sockets in Rust that read and forget, as iperf3 does.
 */

import { type Bench, type Claim, counted, type Measure } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import type { End } from './harness/ends.ts';
import { type Kind, LazyPair, NodeEnd } from './harness/node-ends.ts';

const SENDERS = [1, 10, 20, 50, 100];
const BYTES = 32_768;
/** One million and 500 000 messages a second, where bare node:net makes 7.8 and 1.1 million without TLS. */
const TLS = [
  { label: '64 B', bytes: 64, first: 250_000, goal: 0.13 },
  { label: '1 KiB', bytes: 1024, first: 75_000, goal: 0.46 },
];
/** Connections into two processes. */
const SHARED = 50;

/** Several receiving processes on one port, among which the kernel shares the connections. */
class SharedPort implements AsyncDisposable {
  readonly ends: readonly End[];
  readonly #receivers: readonly NodeEnd[];
  readonly #sender: NodeEnd;

  private constructor(receivers: readonly NodeEnd[], sender: NodeEnd) {
    this.#receivers = receivers;
    this.#sender = sender;
    this.ends = [sender, ...receivers];
  }

  static async start(processes: number, connections: number): Promise<SharedPort> {
    const first = await NodeEnd.start('shoal', false, '127.0.0.1:0');
    const receivers = [first];
    while (receivers.length < processes) receivers.push(await NodeEnd.start('shoal', false, first.addr));
    const sender = await NodeEnd.start('shoal');
    await sender.connect(first.addr, connections);
    return new SharedPort(receivers, sender);
  }

  /** Milliseconds until all messages are processed. */
  async send(bytes: number, all: number, connections: number): Promise<number> {
    for (const receiver of this.#receivers) await receiver.order({ type: 'expect', count: Number.MAX_SAFE_INTEGER });
    const from = performance.now();
    const flooded = this.#sender.flood(bytes, all / connections);
    for (let got = 0; got < all;) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      const counts = await Promise.all(this.#receivers.map((receiver) => receiver.count()));
      got = counts.reduce((sum, each) => sum + each, 0);
    }
    const ms = performance.now() - from;
    await flooded;
    return ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([...this.#receivers, this.#sender]);
  }
}

export const nodeMany: Bench = {
  name: 'node-many',
  question: 'messages a second from many senders into one receiver, and with TLS',
  prepare: () => {
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    const pairs: LazyPair[] = [];
    const add = (name: string, kind: Kind, senders: number, bytes: number, first: number): void => {
      const pair = new LazyPair(kind, kind, senders);
      pairs.push(pair);
      measures.push(pair.flood(name, bytes, first));
    };
    const contest = (what: string, bytes: number, first: number, senders: number, isRustCounted: boolean): void => {
      const subject = `${what}, shoal`;
      const against = (kind: Kind, goal?: Claim['goal']): void => {
        add(`${what}, ${kind}`, kind, senders, bytes, first);
        claims.push({ subject, baseline: `${what}, ${kind}`, goal });
      };
      add(subject, 'shoal', senders, bytes, first);
      against('raw');
      if (bytes >= BYTES) against('sockets', { ratio: 0.9 });
      if (isRustCounted) against('pea2pea', { ratio: 1 });
    };
    for (const senders of SENDERS) contest(`${senders} × 32 KiB`, BYTES, 5000, senders, true);
    for (const senders of [10, 50]) contest(`${senders} × 64 B`, 64, 400_000, senders, true);
    contest('1 × 1 MiB', 1_048_576, 300, 1, false);
    add('1 × 1 MiB, shoal lending', 'shoal-borrowed', 1, 1_048_576, 300);
    claims.push(
      { subject: '1 × 1 MiB, shoal lending', baseline: '1 × 1 MiB, sockets', goal: { ratio: 0.8 } },
      { subject: '1 × 1 MiB, shoal lending', baseline: '1 × 1 MiB, shoal' },
    );
    const shared = new Lazy(() => SharedPort.start(2, SHARED));
    const split = `${SHARED} × 32 KiB into 2 processes, shoal`;
    measures.push({
      name: split,
      unit: 'messages/s',
      on: 'two cores',
      ends: async () => (await shared.get()).ends,
      round: counted(async (count) => (await shared.get()).send(BYTES, count, SHARED), 5000, 1, SHARED),
    });
    claims.push({ subject: split, baseline: `${SHARED} × 32 KiB, shoal` });
    for (const { label, bytes, first, goal } of TLS) {
      const [subject, baseline] = [`${label}, shoal with TLS`, `${label}, raw without`];
      add(baseline, 'raw', 1, bytes, first * 3);
      add(subject, 'shoal-tls', 1, bytes, first);
      claims.push({ subject, baseline, goal: { ratio: goal } });
    }
    return {
      measures,
      claims,
      controls: [],
      [Symbol.asyncDispose]: () => endAll([...pairs, shared]),
    };
  },
};
