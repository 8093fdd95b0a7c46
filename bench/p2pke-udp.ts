/**
 * How many tells of 1000 bytes a second arrive through p2pke over UDP? Two processes each, on loopback.
 *
 * Baseline of the same run: raw node:dgram, unconnected, with a lookup that answers at once; beside it the same with every
 * datagram sealed and opened, which is what no secure link can do without. The sender says as much as it can and lets its
 * event loop turn after every 32; what counts is what the receiver has handled, from the first to the last arrival. What was
 * sent and not received is told apart: dropped by the receiving socket's buffer (/proc/net/udp), by the swarm (its counters),
 * or unaccounted for. Control: nobody may receive more than raw. CPU is that of both ends, for each message that was received.
 */

import { GoPeer, goMissing } from '../interop/go-peer.ts';
import { type Bench, type Measure, median, ROUND_MS, type Round } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import { datagramMeasure, DatagramPair, type Tally } from './harness/datagrams.ts';
import { programEnd } from './harness/ends.ts';
import { sodiumMissing } from './harness/sodium.ts';
import { socketDrops } from './udp-packets-process.ts';

const BYTES = 1000;

/** The receiver counts from so much later on. */
const GO_WARM_MS = 100;

/** Go at both ends; its receiver counts once, so there is another pair for each round. */
async function measureGo(tally: Tally): Promise<Round> {
  await using receiver = new GoPeer('udp,p2pke', 1, ['--count', String(GO_WARM_MS)]);
  await using sender = new GoPeer('udp,p2pke', 2);
  const dst = await receiver.address();
  sender.command({ cmd: 'flood', dst, bytes: BYTES, ms: GO_WARM_MS + ROUND_MS });
  tally.sent += (await sender.next('flooded')).sent!;
  await new Promise((resolve) => setTimeout(resolve, 300)); // what is in the receiver's buffer
  receiver.command({ cmd: 'count' });
  const { received, total, ms } = await receiver.next('count');
  tally.received += total!;
  tally.socketDrops += socketDrops(dst);
  const used = [sender, receiver].map(({ pid }) => programEnd(pid).cpuUs() as number);
  return {
    figure: (received! * 1000) / ms!,
    operations: total!,
    cpuUs: used[0]! + used[1]!,
  };
}

/** Least ratios to raw; source: dgram and the bare cipher reach 0.41 to 0.48 and 0.59 to 0.64 on a quiet machine. */
const LINKS = [
  { link: 'raw', name: 'raw dgram' },
  { link: 'bare', name: 'raw dgram + node:crypto' },
  { link: 'p2pke', name: 'p2pke, node:crypto', ratio: 0.35 },
  { link: 'p2pke-wasm', name: 'p2pke, WASM by size', ratio: 0.4 },
  { link: 'p2pke-sodium', name: 'p2pke, sodium-native', ratio: 0.45, missing: sodiumMissing },
] as const;
const [RAW, GO] = ['raw dgram', 'independent Go peer'];

export const p2pkeUdp: Bench = {
  name: 'p2pke-udp',
  question: 'How many tells of 1000 B a second arrive through p2pke over UDP, compared with raw datagrams?',
  prepare: () => {
    const tallies = new Map<string, Tally>();
    const pairs = LINKS.map((each) => ({ ...each, pair: new Lazy(() => DatagramPair.start(each.link)) }));
    const go: Tally = { sent: 0, received: 0, socketDrops: 0, swarmDrops: 0 };
    const unit = 'messages/s';
    const measures: Measure[] = pairs.map((each) =>
      datagramMeasure(
        each.name,
        unit,
        each.pair,
        async (both) => {
          tallies.set(each.name, both.tally);
          return (await both.flood(BYTES)).received;
        },
        'missing' in each ? each.missing : undefined,
      ),
    );
    measures.push({
      name: GO,
      unit,
      on: 'not pinned',
      missing: goMissing,
      round: () => {
        tallies.set(GO, go);
        return measureGo(go);
      },
    });
    const others = [...LINKS.slice(1), { name: GO }];
    return {
      measures,
      claims: others.map((each) => ({
        subject: each.name,
        baseline: RAW,
        goal: 'ratio' in each ? { ratio: each.ratio } : undefined,
      })),
      controls: others.map(({ name }) => ({
        what: `${name}: not faster than raw`,
        of: name,
        needs: [name, RAW],
        holds: (figures) => median(figures.get(name)!) <= 1.05 * median(figures.get(RAW)!),
      })),
      notes: () => [...tallies].map(([name, tally]) => losses(name, tally)),
      [Symbol.asyncDispose]: () => endAll(pairs.map(({ pair }) => pair)),
    };
  },
};

function losses(name: string, { sent, received, socketDrops: buffer, swarmDrops }: Tally): string {
  const rest = sent - received - buffer - swarmDrops;
  return `${name}: ${sent} sent, ${received} received, ${buffer} lost in the socket's buffer, ${swarmDrops} dropped by the swarm, ${rest} unaccounted for`;
}
