/**
 * What each wrapper costs per message of 64 bytes: the time of tell and delivery through it, less that of the memory swarm
 * alone in the same round, and the heap it allocates. Figures are messages a second; a wrapper's own cost is shown as how
 * often a second it could be paid, so that more is better and a million means 1000 ns.
 */

import type { Addr, SecureAskSwarm, Swarm } from 'shoal';
import { allow } from 'shoal/allow';
import { frag } from 'shoal/frag';
import { mapAddrs } from 'shoal/map';
import { mbapp } from 'shoal/mbapp';
import { type MemoryAddr, createMemoryRealm } from 'shoal/memory';
import { multi } from 'shoal/multi';
import { mux } from 'shoal/mux';
import { type Bench, median } from './harness/bench.ts';

/** Below 1000 ns. */
const GOAL = { figure: 1e6 };
const BATCH = 200;
const ALONE = 'memory swarm alone';
const TWICE = 'frag twice';

type Any = Swarm<Addr>;
const any = (swarm: unknown): Any => swarm as Any;
const same = { up: (addr: MemoryAddr) => addr, down: (addr: MemoryAddr) => addr };
const key = (i: number) => ({ algorithm: 'bench', spki: Uint8Array.of(i) });

type Wrap = (inner: SecureAskSwarm<MemoryAddr>) => Any;

/** Each wraps a secure memory swarm. */
const WRAPPERS: Readonly<Record<string, Wrap>> = {
  frag: (inner) => any(frag(inner)),
  [TWICE]: (inner) => any(frag(frag(inner))),
  'mux string': (inner) => any(mux(inner, 'string').open('chat')),
  'mux varint': (inner) => any(mux(inner, 'varint').open(300)),
  multi: (inner) => any(multi({ memory: inner })),
  mapAddrs: (inner) => any(mapAddrs(inner, same)),
  allow: (inner) => any(allow(inner, { accept: () => true })),
  mbapp: (inner) => any(mbapp(inner)),
};

interface Sample {
  readonly ns: number;
  readonly heapBytes: number;
}

async function measure(wrap: Wrap, batches: number): Promise<Sample> {
  const realm = createMemoryRealm();
  const [alice, bob] = [realm.secureSwarm(key(1)), realm.secureSwarm(key(2))].map(wrap) as [Any, Any];
  let received = 0;
  bob.listen(() => void received++);
  alice.listen(() => {});
  const dst = bob.addr;
  const payload = new Uint8Array(64);
  const batch = async (): Promise<void> => {
    for (let i = 0; i < BATCH; i++) void alice.tell(dst, payload);
    await new Promise<void>((resolve) => void setImmediate(resolve));
  };
  for (let i = 0; i < 50; i++) await batch();
  received = 0;
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const start = process.hrtime.bigint();
  for (let i = 0; i < batches; i++) await batch();
  while (received < BATCH * batches) await batch();
  const ns = Number(process.hrtime.bigint() - start) / received;
  const heapBytes = (process.memoryUsage().heapUsed - heap) / received;
  await alice.close();
  await bob.close();
  return { ns, heapBytes };
}

const nameOf = (wrapper: string): string => `${wrapper}: its own cost`;

/** The bench: `npm run bench -- wrappers`. */
export const wrappers: Bench = {
  name: 'wrappers',
  question: 'What does each wrapper cost a message of 64 B?',
  prepare: (quick) => {
    const batches = quick ? 60 : 250;
    const samples = new Map<string, Sample[]>([ALONE, ...Object.keys(WRAPPERS)].map((name) => [name, []]));
    let aloneNs = 0;
    const take = async (name: string, wrap: Wrap): Promise<number> => {
      const sample = await measure(wrap, batches);
      samples.get(name)!.push(sample);
      return sample.ns;
    };
    const alone = async (): Promise<number> => 1e9 / (aloneNs = await take(ALONE, any));
    const own = (name: string, wrap: Wrap) => async (): Promise<number> =>
      1e9 / Math.max((await take(name, wrap)) - aloneNs, 1);
    const ownNs = (name: string): number => {
      const base = samples.get(ALONE)!;
      return median(samples.get(name)!.map(({ ns }, i) => ns - base[i]!.ns));
    };
    return {
      measures: [
        { name: ALONE, unit: 'messages/s', round: alone },
        ...Object.entries(WRAPPERS).map(([name, wrap]) => ({ name: nameOf(name), unit: '/s', round: own(name, wrap) })),
      ],
      claims: Object.keys(WRAPPERS)
        .filter((name) => name !== TWICE)
        .map((name) => ({ subject: nameOf(name), baseline: ALONE, goal: GOAL })),
      controls: () => {
        const ratio = ownNs(TWICE) / ownNs('frag');
        return [
          { what: `frag twice costs ${ratio.toFixed(2)} times frag once (1.2 to 4)`, ok: ratio > 1.2 && ratio < 4 },
        ];
      },
      notes: () =>
        [...samples].map(([name, each]) => {
          const heap = Math.round(median(each.map(({ heapBytes }) => heapBytes)));
          const ns = name === ALONE ? median(each.map((sample) => sample.ns)) : ownNs(name);
          return `${name}: ${Math.round(ns)} ns, ${heap} bytes of heap a message`;
        }),
    };
  },
};
