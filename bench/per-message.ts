/**
 * What a message costs in every wrapper and swarm: CPU time in ns and bytes that V8 allocates, of a tell and of an ask of 64 bytes,
 * both ends in one process. `npm run bench -- per-message`; of the program itself, `--root=FOLDER` measures the sources of
 * another checkout, so that two states are compared in one sitting; `--quick` takes shorter passes; names pick rows; `--publish` writes the table to docs/benchmarks.md.
 *
 * A row costs what stands after `over`, and its own part. Bytes are those of V8's heap, without buffers outside of it. Figures are
 * medians of five passes.
 */

import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { getHeapStatistics } from 'node:v8';
import { pathToFileURL } from 'node:url';
import type * as Shoal from 'shoal';
import type * as AllowModule from 'shoal/allow';
import type * as FragModule from 'shoal/frag';
import type * as MapModule from 'shoal/map';
import type * as MaskModule from 'shoal/mask';
import type * as MbappModule from 'shoal/mbapp';
import type * as MemoryModule from 'shoal/memory';
import type * as MultiModule from 'shoal/multi';
import type * as MuxModule from 'shoal/mux';
import type * as P2pkeModule from 'shoal/p2pke';
import type * as QuicModule from 'shoal/quic';
import type * as SshModule from 'shoal/ssh';
import type * as TcpModule from 'shoal/tcp';
import type * as TestingModule from 'shoal/testing';
import type * as UdpModule from 'shoal/udp';
import { median } from './harness/bench.ts';
import { putSection } from './harness/page.ts';
import { markdown } from './harness/summary.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    root: { type: 'string', default: path.dirname(import.meta.dirname) },
    quick: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
  },
});
const require = createRequire(path.join(path.resolve(values.root), 'package.json'));
const load = (subpath: string): Promise<unknown> => import(pathToFileURL(require.resolve(subpath)).href);

const { allow } = (await load('shoal/allow')) as typeof AllowModule;
const { frag } = (await load('shoal/frag')) as typeof FragModule;
const { mapAddrs } = (await load('shoal/map')) as typeof MapModule;
const { mask } = (await load('shoal/mask')) as typeof MaskModule;
const { mbapp } = (await load('shoal/mbapp')) as typeof MbappModule;
const { createMemoryRealm } = (await load('shoal/memory')) as typeof MemoryModule;
const { multi } = (await load('shoal/multi')) as typeof MultiModule;
const { mux } = (await load('shoal/mux')) as typeof MuxModule;
const { p2pke } = (await load('shoal/p2pke')) as typeof P2pkeModule;
const { loadQuicEngine, openQuicSwarm, quic } = (await load('shoal/quic')) as typeof QuicModule;
const { openSshSwarm } = (await load('shoal/ssh')) as typeof SshModule;
const { openTcpSwarm } = (await load('shoal/tcp')) as typeof TcpModule;
const { testKey } = (await load('shoal/testing')) as typeof TestingModule;
const { openUdpSwarm } = (await load('shoal/udp')) as typeof UdpModule;

type Addr = Shoal.Addr;
/** All that is called here; what cannot be asked has no `ask`. */
type Any = Shoal.Swarm<Addr> & Partial<Pick<Shoal.AskSwarm<Addr>, 'ask' | 'serve'>>;
// Addresses come from the swarm's own parseAddr only.
const any = (swarm: unknown): Any => swarm as Any;

const BYTES = 64;
const BATCH = 64;
const PASSES = 5;
const PASS_MS = values.quick ? 80 : 400;
/** A batch of tells is waited for as long as something of it comes; a datagram may be lost. */
const PATIENCE_TURNS = 200;

const bind = '127.0.0.1:0';
const same = { up: (addr: MemoryModule.MemoryAddr) => addr, down: (addr: MemoryModule.MemoryAddr) => addr };
const maskKey = new Uint8Array(32).fill(7);

let realm = createMemoryRealm();
const memory = (i: number) => realm.secureSwarm({ algorithm: 'bench', spki: Uint8Array.of(i) });
const udp = () => openUdpSwarm({ bind });

/** Swarms by name, each made for a number. */
const SWARMS: Readonly<Record<string, (i: number) => unknown>> = {
  'memory realm': memory,
  'frag over memory': (i) => frag(memory(i)),
  'mux string over memory': (i) => mux(memory(i), 'string').open('chat'),
  'mux varint over memory': (i) => mux(memory(i), 'varint').open(300),
  'multi over memory': (i) => multi({ memory: memory(i) }),
  'mapAddrs over memory': (i) => mapAddrs(memory(i), same),
  'allow over memory': (i) => allow(memory(i), { accept: () => true }),
  'mask over memory': () => mask(realm.swarm(), { key: maskKey }),
  'mbapp over memory': (i) => mbapp(memory(i)),
  'p2pke over memory': (i) => p2pke(realm.swarm(), { privateKey: testKey(i) }),
  'mbapp over p2pke over memory': (i) => mbapp(p2pke(realm.swarm(), { privateKey: testKey(i) })),
  'quic over memory': (i) => quic(realm.swarm(), { privateKey: testKey(i) }),
  udp,
  'p2pke over udp': async (i) => p2pke(await udp(), { privateKey: testKey(i) }),
  'mbapp over p2pke over udp': async (i) => mbapp(p2pke(await udp(), { privateKey: testKey(i) })),
  tcp: (i) => openTcpSwarm({ bind, privateKey: testKey(i) }),
  quic: (i) => openQuicSwarm({ bind, privateKey: testKey(i) }),
  ssh: (i) => openSshSwarm({ bind, privateKey: testKey(i) }),
};

/** What one costs. */
interface Cost {
  readonly ns: number;
  readonly bytes: number;
}

/** @param batch - does some, and answers how many. */
async function costOf(batch: () => Promise<number>): Promise<Cost> {
  const passes: Cost[] = [];
  for (let pass = -1; pass < PASSES; pass++) {
    globalThis.gc?.();
    const allocated = getHeapStatistics().total_allocated_bytes;
    const cpu = process.cpuUsage();
    let count = 0;
    for (const end = performance.now() + PASS_MS; performance.now() < end;) count += await batch();
    const { user, system } = process.cpuUsage(cpu);
    const bytes = getHeapStatistics().total_allocated_bytes - allocated;
    if (pass >= 0) passes.push({ ns: ((user + system) * 1000) / count, bytes: bytes / count });
  }
  return { ns: median(passes.map(({ ns }) => ns)), bytes: median(passes.map(({ bytes }) => bytes)) };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A row of the table. */
interface Line {
  readonly what: string;
  readonly tell: Cost;
  readonly ask: Cost | undefined;
}

async function measure(what: string): Promise<Line> {
  realm = createMemoryRealm();
  await loadQuicEngine();
  const [alice, bob] = [any(await SWARMS[what]!(1)), any(await SWARMS[what]!(2))];
  let received = 0;
  bob.listen(() => void received++);
  alice.listen(() => {});
  bob.serve?.(({ payload }) => payload);
  const [dst, payload] = [alice.parseAddr(bob.addr.text), new Uint8Array(BYTES)];
  await alice.tell(dst, payload);
  await turn();
  const tell = await costOf(async () => {
    const before = received;
    for (let i = 0; i < BATCH; i++) void alice.tell(dst, payload);
    for (let turns = 0; received - before < BATCH && turns < PATIENCE_TURNS; turns++) await turn();
    return received - before;
  });
  const ask =
    alice.ask === undefined
      ? undefined
      : await costOf(async () => {
          await Promise.all(Array.from({ length: BATCH }, () => alice.ask!(dst, payload)));
          return BATCH;
        });
  await Promise.all([alice.close(), bob.close()]);
  return { what, tell, ask };
}

const lines: Line[] = [];
for (const what of Object.keys(SWARMS)) {
  if (positionals.length === 0 || positionals.some((part) => what.includes(part))) lines.push(await measure(what));
}
const cell = (cost: Cost | undefined): readonly string[] =>
  cost === undefined ? ['–', '–'] : [cost.ns.toFixed(0), cost.bytes.toFixed(0)];
const header = ['64 B, both ends', 'tell, ns', 'tell, bytes', 'ask, ns', 'ask, bytes'];
const table = markdown(
  header,
  lines.map(({ what, tell, ask }) => [what, ...cell(tell), ...cell(ask)]),
);
console.log(table);
if (values.publish) putSection('per-message', `Node ${process.version}, ${BATCH} in flight.\n\n${table}`);
