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
import { type Bench, median, ROUND_MS, type Round } from './harness/bench.ts';
import { ownCpuUs } from './harness/ends.ts';

/** Below 1000 ns. */
const GOAL = { figure: 1e6 };
const BATCH = 200;
const HEAP_BATCHES = 20;
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

/** What a message costs. */
interface Sample {
  readonly ns: number;
  readonly cpuUs: number;
  readonly heapBytes: number;
}

async function measure(wrap: Wrap): Promise<Sample> {
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
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  // Few enough that no garbage is collected between.
  for (let i = 0; i < HEAP_BATCHES; i++) await batch();
  const heapBytes = (process.memoryUsage().heapUsed - heap) / (BATCH * HEAP_BATCHES);
  received = 0;
  const [start, cpu] = [performance.now(), ownCpuUs()];
  while (performance.now() - start < ROUND_MS) await batch();
  const ns = ((performance.now() - start) * 1e6) / received;
  const cpuUs = (ownCpuUs() - cpu) / received;
  await alice.close();
  await bob.close();
  return { ns, cpuUs, heapBytes };
}

const nameOf = (wrapper: string): string => `${wrapper}: its own cost`;

/** The bench: `npm run bench -- wrappers`. */
export const wrappers: Bench = {
  name: 'wrappers',
  question: 'What does each wrapper cost a message of 64 B?',
  prepare: () => {
    const samples = new Map<string, Sample[]>([ALONE, ...Object.keys(WRAPPERS)].map((name) => [name, []]));
    let base: Sample;
    const take = async (name: string, wrap: Wrap): Promise<Sample> => {
      const sample = await measure(wrap);
      samples.get(name)!.push(sample);
      return sample;
    };
    const alone = async (): Promise<Round> => {
      base = await take(ALONE, any);
      return { figure: 1e9 / base.ns, operations: 1, cpuUs: base.cpuUs };
    };
    const own = (name: string, wrap: Wrap) => async (): Promise<Round> => {
      const { ns, cpuUs } = await take(name, wrap);
      return { figure: 1e9 / Math.max(ns - base.ns, 1), operations: 1, cpuUs: cpuUs - base.cpuUs };
    };
    const ownNs = (name: string): number =>
      median(samples.get(name)!.map(({ ns }, i) => ns - samples.get(ALONE)![i]!.ns));
    const [once, twice] = [nameOf('frag'), nameOf(TWICE)];
    return {
      measures: [
        { name: ALONE, unit: 'messages/s', round: alone },
        ...Object.entries(WRAPPERS).map(([name, wrap]) => ({ name: nameOf(name), unit: '/s', round: own(name, wrap) })),
      ],
      claims: Object.keys(WRAPPERS)
        .filter((name) => name !== TWICE)
        .map((name) => ({ subject: nameOf(name), baseline: ALONE, goal: GOAL })),
      controls: [
        {
          what: 'frag twice costs 1.2 to 4 times frag once',
          needs: [once, twice],
          holds: (figures) => {
            const ratio = median(figures.get(once)!) / median(figures.get(twice)!);
            return ratio > 1.2 && ratio < 4;
          },
        },
      ],
      notes: () =>
        [...samples].map(([name, each]) => {
          const heap = Math.round(median(each.map(({ heapBytes }) => heapBytes)));
          const ns = name === ALONE ? median(each.map((sample) => sample.ns)) : ownNs(name);
          return `${name}: ${Math.round(ns)} ns, ${heap} bytes of heap a message`;
        }),
    };
  },
};
