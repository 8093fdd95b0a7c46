/**
 * How many datagrams a second does the UDP swarm send and receive?
 *
 * Sender and receiver are two processes. Baseline: raw node:dgram sockets, unconnected, with a synchronous lookup and the
 * same buffers, in the same two processes, by turns. What is sent is counted while the sender is busy, what is received
 * from the first to the last arrival. Control: a paced trickle arrives whole through both.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Bench } from './harness/bench.ts';
import type { Link, UdpOrder, UdpReply } from './udp-packets-process.ts';

const PROGRAM = new URL('udp-packets-process.ts', import.meta.url);
const BYTES = 1200;
const GOAL = 0.95;
const TRICKLE = 2000;
/** A process that is silent for so long hangs. */
const ANSWER_MS = 20_000;

/** One of the two processes. */
class Worker {
  readonly #process: ChildProcess = fork(PROGRAM);

  async call(order: UdpOrder): Promise<UdpReply> {
    this.#process.send(order);
    const gone = AbortSignal.timeout(ANSWER_MS);
    const [reply] = (await once(this.#process, 'message', { signal: gone })) as [UdpReply];
    return reply;
  }

  async end(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.disconnect();
    await exited;
  }
}

export const udpPackets: Bench = {
  name: 'udp-packets',
  question: `datagrams of ${BYTES} bytes over loopback between two processes, against raw node:dgram`,
  prepare: async (quick) => {
    const ms = quick ? 400 : 1000;
    const [sender, receiver] = [new Worker(), new Worker()];
    const { ports } = await receiver.call({ type: 'open' });
    await sender.call({ type: 'open' });
    const whole: Record<Link, boolean> = { raw: false, shoal: false };
    /** What the receiver got in the run whose sending was measured last. */
    const got: Record<Link, { rate: number; share: number[] }> = {
      raw: { rate: 0, share: [] },
      shoal: { rate: 0, share: [] },
    };

    const flood = async (link: Link): Promise<number> => {
      await receiver.call({ type: 'count', link });
      const sent = await sender.call({ type: 'flood', link, port: ports![link], bytes: BYTES, ms });
      const { count, elapsedMs } = await receiver.call({ type: 'counted' });
      got[link].rate = (count! * 1000) / elapsedMs!;
      got[link].share.push(count! / sent.count!);
      return (sent.count! * 1000) / sent.elapsedMs!;
    };
    for (const link of ['raw', 'shoal'] as const) {
      await receiver.call({ type: 'count', link });
      await sender.call({ type: 'trickle', link, port: ports![link], bytes: BYTES, count: TRICKLE });
      whole[link] = (await receiver.call({ type: 'counted' })).count === TRICKLE;
    }
    const unit = 'packets/s';
    return {
      measures: [
        { name: 'raw dgram, sent', unit, round: () => flood('raw') },
        { name: 'raw dgram, received', unit, round: () => got.raw.rate },
        { name: 'UDP swarm, sent', unit, round: () => flood('shoal') },
        { name: 'UDP swarm, received', unit, round: () => got.shoal.rate },
      ],
      claims: [
        { subject: 'UDP swarm, sent', baseline: 'raw dgram, sent', goal: { ratio: GOAL } },
        { subject: 'UDP swarm, received', baseline: 'raw dgram, received', goal: { ratio: GOAL } },
      ],
      controls: () =>
        (['raw', 'shoal'] as const).map((link) => ({
          what: `${TRICKLE} paced packets arrive whole, ${link}`,
          ok: whole[link],
        })),
      notes: () =>
        (['raw', 'shoal'] as const).map((link) => {
          const shares = got[link].share.slice(1);
          const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
          return `${link}: ${(100 * mean).toFixed(0)} % of what was sent was received; the rest overran the socket buffer`;
        }),
      [Symbol.asyncDispose]: async () => {
        await Promise.all([sender.end(), receiver.end()]);
      },
    };
  },
};
