/** What a mask costs: asks over p2pke and UDP, and over TCP, in one process, with and without it. */

import type { Addr, AskSwarm } from 'shoal';
import { generateKey } from 'shoal/keys';
import { mask } from 'shoal/mask';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { openTcpSwarm } from 'shoal/tcp';
import { openUdpSwarm } from 'shoal/udp';
import { type Bench, counted } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';

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

/** Two swarms, of which one answers. */
interface Both extends AsyncDisposable {
  readonly alice: AskSwarm<Addr>;
  readonly bob: AskSwarm<Addr>;
}

async function start(open: (isMasked: boolean) => Promise<AskSwarm<Addr>>, isMasked: boolean): Promise<Both> {
  const [alice, bob] = [await open(isMasked), await open(isMasked)];
  bob.serve(() => Uint8Array.of(1));
  return {
    alice,
    bob,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([alice.close(), bob.close()]);
    },
  };
}

/** Milliseconds for so many asks. */
async function asks({ alice, bob }: Both, bytes: number, count: number): Promise<number> {
  const [dst, request] = [alice.parseAddr(bob.addr.text), new Uint8Array(bytes)];
  let left = count;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (left-- > 0) await alice.ask(dst, request);
    }),
  );
  return performance.now() - start;
}

const CASES = [
  { name: '64 B over p2pke and UDP', open: datagrams, bytes: 64, first: 2000 },
  { name: '1 KiB over p2pke and UDP', open: datagrams, bytes: 1024, first: 2000 },
  { name: '64 B over TCP', open: streams, bytes: 64, first: 2000 },
  { name: '1 MiB over TCP', open: streams, bytes: 1_048_576, first: 40 },
];

/** The bench: `npm run bench -- mask`. */
export const masks: Bench = {
  name: 'mask',
  question: 'What does a mask cost?',
  prepare: () => {
    const all: Lazy<Both>[] = [];
    return {
      measures: CASES.flatMap(({ name, open, bytes, first }) =>
        [false, true].map((isMasked) => {
          const both = new Lazy(() => start(open, isMasked));
          all.push(both);
          return {
            name: isMasked ? `${name}, masked` : name,
            unit: 'asks/s',
            round: counted(async (count) => asks(await both.get(), bytes, count), first),
          };
        }),
      ),
      claims: CASES.map(({ name }) => ({ subject: `${name}, masked`, baseline: name })),
      controls: [],
      [Symbol.asyncDispose]: () => endAll(all),
    };
  },
};
