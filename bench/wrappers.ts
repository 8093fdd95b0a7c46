/**
 * What each wrapper costs per message of 64 bytes: the time of tell and delivery through it, less that of the memory
 * swarm alone in the same round, and the heap it allocates.
 *
 *     node --conditions=shoal-source --expose-gc bench/wrappers.ts
 *
 * Control: frag twice must cost about twice as much as once; outside of 1.2 to 4 times the run cannot be trusted.
 */

import { type Addr, type SecureAskSwarm, type Swarm } from 'shoal';
import { allow } from 'shoal/allow';
import { frag } from 'shoal/frag';
import { mapAddrs } from 'shoal/map';
import { mbapp } from 'shoal/mbapp';
import { type MemoryAddr, createMemoryRealm } from 'shoal/memory';
import { multi } from 'shoal/multi';
import { mux } from 'shoal/mux';

const GOAL_NS = 1000;
const ROUNDS = 9;
const BATCH = 200;
const BATCHES = 250;

type Any = Swarm<Addr>;
const any = (swarm: unknown): Any => swarm as Any;
const same = { up: (addr: MemoryAddr) => addr, down: (addr: MemoryAddr) => addr };
const key = (i: number) => ({ algorithm: 'bench', spki: Uint8Array.of(i) });

/** Each wraps a secure memory swarm. */
const WRAPPERS: Readonly<Record<string, (inner: SecureAskSwarm<MemoryAddr>) => Any>> = {
  memory: any,
  frag: (inner) => any(frag(inner)),
  'frag twice': (inner) => any(frag(frag(inner))),
  'mux string': (inner) => any(mux(inner, 'string').open('chat')),
  'mux varint': (inner) => any(mux(inner, 'varint').open(300)),
  multi: (inner) => any(multi({ memory: inner })),
  mapAddrs: (inner) => any(mapAddrs(inner, same)),
  allow: (inner) => any(allow(inner, { accept: () => true })),
  mbapp: (inner) => any(mbapp(inner)),
};

interface Sample {
  readonly ns: number;
  readonly bytes: number;
}

async function measure(wrap: (inner: SecureAskSwarm<MemoryAddr>) => Any): Promise<Sample> {
  const realm = createMemoryRealm();
  const [alice, bob] = [realm.secureSwarm(key(1)), realm.secureSwarm(key(2))].map(wrap) as [Any, Any];
  let received = 0;
  bob.listen(() => void received++);
  alice.listen(() => {});
  const dst = bob.localAddrs()[0]!;
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
  for (let i = 0; i < BATCHES; i++) await batch();
  while (received < BATCH * BATCHES) await batch();
  const ns = Number(process.hrtime.bigint() - start) / received;
  const bytes = (process.memoryUsage().heapUsed - heap) / received;
  await alice.close();
  await bob.close();
  return { ns, bytes };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

const samples = new Map<string, Sample[]>(Object.keys(WRAPPERS).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, wrap] of Object.entries(WRAPPERS)) {
    samples.get(name)!.push(await measure(wrap));
  }
}
const base = samples.get('memory')!;
const rows = [...samples]
  .filter(([, list]) => list.length > 0)
  .map(([name, list]) => ({
    wrapper: name,
    'ns per message': Math.round(median(list.map(({ ns }) => ns))),
    'of its own': name === 'memory' ? 0 : Math.round(median(list.map(({ ns }, i) => ns - base[i]!.ns))),
    ratio: Number(median(list.map(({ ns }, i) => ns / base[i]!.ns)).toFixed(2)),
    'heap bytes a message': Math.round(median(list.map(({ bytes }) => bytes))),
  }));
console.table(rows);
const own = (name: string): number => rows.find(({ wrapper }) => wrapper === name)!['of its own'];
const control = own('frag twice') / own('frag');
console.log(`control: frag twice costs ${control.toFixed(2)} times frag once (1.2 to 4 expected)`);
const missed = rows.filter((row) => row['of its own'] > GOAL_NS && row.wrapper !== 'frag twice');
console.log(
  missed.length === 0
    ? `all wrappers below ${GOAL_NS} ns`
    : `above ${GOAL_NS} ns: ${missed.map(({ wrapper }) => wrapper).join(', ')}`,
);
