/** What a mask costs: asks over p2pke and UDP, and over TCP, in one process, with and without it. */

import type { Addr, AskSwarm } from 'shoal';
import { generateKey } from 'shoal/keys';
import { mask } from 'shoal/mask';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { openTcpSwarm } from 'shoal/tcp';
import { openUdpSwarm } from 'shoal/udp';
import type { Bench } from './harness/bench.ts';

const key = new Uint8Array(32).fill(7);
const IN_FLIGHT = 32;

async function datagrams(isMasked: boolean): Promise<AskSwarm<Addr>> {
  const udp = await openUdpSwarm({ bind: '127.0.0.1:0', maxDatagramBytes: 1400 });
  return mbapp(p2pke(isMasked ? mask(udp, { key }) : udp, { privateKey: generateKey() }));
}

function streams(isMasked: boolean): Promise<AskSwarm<Addr>> {
  const options = { bind: '127.0.0.1:0', privateKey: generateKey(), mask: isMasked ? { key } : undefined };
  return openTcpSwarm(options);
}

/** Asks a second, with so many under way. */
async function asksPerSecond(
  open: (isMasked: boolean) => Promise<AskSwarm<Addr>>,
  isMasked: boolean,
  bytes: number,
  asks: number,
): Promise<number> {
  await using alice = await open(isMasked);
  await using bob = await open(isMasked);
  bob.serve(() => Uint8Array.of(1));
  const [dst, request] = [alice.parseAddr(bob.addr.text), new Uint8Array(bytes)];
  await alice.ask(dst, request);
  let left = asks;
  const start = process.hrtime.bigint();
  await Promise.all(
    Array.from({ length: Math.min(IN_FLIGHT, asks) }, async () => {
      while (left-- > 0) await alice.ask(dst, request);
    }),
  );
  return (asks * 1e9) / Number(process.hrtime.bigint() - start);
}

/** The bench: `npm run bench -- mask`. */
export const masks: Bench = {
  name: 'mask',
  question: 'What does a mask cost?',
  prepare: (quick) => {
    const share = quick ? 1 : 5;
    const cases = [
      { name: '64 B over p2pke and UDP', open: datagrams, bytes: 64, asks: 2000 * share },
      { name: '1 KiB over p2pke and UDP', open: datagrams, bytes: 1024, asks: 2000 * share },
      { name: '64 B over TCP', open: streams, bytes: 64, asks: 2000 * share },
      { name: '1 MiB over TCP', open: streams, bytes: 1_048_576, asks: 40 * share },
    ];
    return {
      measures: cases.flatMap(({ name, open, bytes, asks }) =>
        [false, true].map((isMasked) => ({
          name: isMasked ? `${name}, masked` : name,
          unit: 'asks/s',
          round: () => asksPerSecond(open, isMasked, bytes, asks),
        })),
      ),
      claims: cases.map(({ name }) => ({ subject: `${name}, masked`, baseline: name })),
      controls: () => [],
    };
  },
};
