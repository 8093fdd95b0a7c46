/**
 * How many tells of 1000 bytes a second arrive through p2pke over UDP? Two processes each, on loopback.
 *
 * Baseline of the same run: raw node:dgram, unconnected, with a lookup that answers at once; beside it the same with every
 * datagram sealed and opened, which is what no secure link can do without. The sender says as much as it can and lets its
 * event loop turn after every 64; what counts is what the receiver has handled, between the first and the last that it
 * counts, after a warm-up. What was sent and not received is told apart: dropped by the receiving socket's buffer
 * (/proc/net/udp), by the swarm (its counters), or unaccounted for. Control: nobody may receive more than raw.
 *
 * With `npm install --prefix bench/rivals/sodium` sodium-native is measured too, and with Go the independent Go peer.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { GoPeer, goMissing } from '../interop/go-peer.ts';
import { type Bench, median } from './harness/bench.ts';
import { SODIUM_MISSING, loadSodium } from './harness/sodium.ts';
import { BYTES, QUICK_TIMES, type Result, TIMES, type Times, socketDrops } from './p2pke-udp-process.ts';

async function message<T>(child: ChildProcess): Promise<T> {
  const [value] = (await once(child, 'message')) as [T];
  return value;
}

interface Round extends Result {
  readonly sent: number;
}

async function measure(contender: string, quick: boolean): Promise<Round> {
  if (contender === 'go') return measureGo(quick ? QUICK_TIMES : TIMES);
  const pace = quick ? 'quick' : 'full';
  const script = path.join(import.meta.dirname, 'p2pke-udp-process.ts');
  const receiver = fork(script, ['receive', contender, pace]);
  const addr = await message<string>(receiver);
  const sender = fork(script, ['send', contender, pace, addr]);
  const sent = await message<number>(sender);
  await new Promise((resolve) => setTimeout(resolve, 300)); // what is in the receiver's buffer
  const result = message<Result>(receiver);
  receiver.send('stop');
  return { ...(await result), sent };
}

async function measureGo({ warmMs, measureMs }: Times): Promise<Round> {
  await using receiver = new GoPeer('udp,p2pke', 1, ['--count', String(warmMs)]);
  await using sender = new GoPeer('udp,p2pke', 2);
  const dst = await receiver.address();
  sender.command({ cmd: 'flood', dst, bytes: BYTES, ms: warmMs + measureMs });
  const { sent } = await sender.next('flooded');
  await new Promise((resolve) => setTimeout(resolve, 300));
  receiver.command({ cmd: 'count' });
  const { received, total, ms } = await receiver.next('count');
  const drops = socketDrops(Number(dst.slice(dst.lastIndexOf(':') + 1)));
  return {
    sent: sent!,
    received: received!,
    total: total!,
    seconds: ms! / 1000,
    socketDrops: drops,
    layerDrops: {},
  };
}

const NAMES = {
  raw: 'raw dgram',
  bare: 'raw dgram + node:crypto',
  shoal: 'p2pke, node:crypto',
  sodium: 'p2pke, sodium-native',
  go: 'independent Go peer',
} as const;

type Contender = keyof typeof NAMES;

/** Least ratios to raw; source: dgram and the bare cipher reach 0.41 to 0.48 and 0.59 to 0.64 on a quiet machine. */
const GOALS: Partial<Record<Contender, number>> = { shoal: 0.35, sodium: 0.45 };

export const p2pkeUdp: Bench = {
  name: 'p2pke-udp',
  question: 'How many tells of 1000 B a second arrive through p2pke over UDP, compared with raw datagrams?',
  prepare: async (quick) => {
    const sodium = (await loadSodium()) !== undefined;
    const contenders: readonly Contender[] = [
      'raw',
      'bare',
      'shoal',
      ...(sodium ? (['sodium'] as const) : []),
      ...(goMissing() === false ? (['go'] as const) : []),
    ];
    const rounds = new Map<Contender, Round[]>(contenders.map((name) => [name, []]));
    return {
      measures: contenders.map((contender) => ({
        name: NAMES[contender],
        unit: 'messages/s',
        round: async () => {
          const round = await measure(contender, quick);
          rounds.get(contender)!.push(round);
          return round.received / round.seconds;
        },
      })),
      claims: contenders.slice(1).map((contender) => {
        const ratio = GOALS[contender];
        return { subject: NAMES[contender], baseline: NAMES.raw, goal: ratio === undefined ? undefined : { ratio } };
      }),
      controls: (figures) =>
        contenders.slice(1).map((contender) => ({
          what: `${NAMES[contender]}: not faster than raw`,
          ok: median(figures.get(NAMES[contender])!) <= 1.05 * median(figures.get(NAMES.raw)!),
        })),
      notes: () => [
        ...[...rounds].map(([contender, each]) => losses(NAMES[contender], each)),
        ...(sodium ? [] : [SODIUM_MISSING]),
      ],
    };
  },
};

function losses(name: string, rounds: readonly Round[]): string {
  const sum = (of: (round: Round) => number): number => rounds.reduce((total, round) => total + of(round), 0);
  const [sent, total, buffer] = [sum((each) => each.sent), sum((each) => each.total), sum((each) => each.socketDrops)];
  const swarm = sum((each) => Object.values(each.layerDrops).reduce((all, count) => all + count, 0));
  const rest = sent - total - buffer - swarm;
  return `${name}: ${sent} sent, ${total} received, ${buffer} lost in the socket's buffer, ${swarm} dropped by the swarm, ${rest} unaccounted for`;
}
