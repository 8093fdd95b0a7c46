/**
 * What does a flood of InitHellos from made-up addresses cost a swarm, and are honest peers served beside it?
 *
 * node --expose-gc --conditions=shoal-source bench/p2pke-flood.ts [--hellos 120000]
 *
 * One process, real time. Every hello comes from an address of its own and is signed as it should be, so that only budgets
 * and bounds stand in its way; the flood goes as fast as it is taken, in bursts of 100. Honest peers come one after the
 * other, each for the first time. Baseline: the same number of honest peers without a flood. Control: without the gate
 * (budgets without end) the flood must leave as many half-open channels as the bounds allow.
 */

import { parseArgs } from 'node:util';
import type { Bytes } from '../src/base/bytes.ts';
import { inspect } from '../src/core/inspect.ts';
import type { TellHandler } from '../src/core/message.ts';
import { generateKey } from '../src/identity/keys.ts';
import { Timestamps } from '../src/protocols/p2pke/tai64n.ts';
import { type MemoryAddr, createMemoryRealm, memoryAddr } from '../src/swarms/memory/index.ts';
import { p2pke, type P2pkeLimits } from '../src/swarms/p2pke/index.ts';
import { createP2pkeIdentity } from '../src/protocols/p2pke/identity.ts';
import { initiateSession } from '../src/protocols/p2pke/session.ts';

const HONEST = 40;
const DISTINCT = 2000;
const BURST = 100;
/** What the bounds promise: 1024 half-open channels of 6 KB, 4096 sources, 8192 peers, and room for garbage. */
const STATED_BYTES = 16 * 1024 * 1024;

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

function signedHellos(): readonly Bytes[] {
  const timestamps = new Timestamps();
  return Array.from({ length: DISTINCT }, () => {
    const identity = createP2pkeIdentity({ privateKey: generateKey(), random });
    return initiateSession(identity, 0, timestamps.next(Date.now()), random(32)).message;
  });
}

interface Outcome {
  readonly served: number;
  readonly medianMs: number;
  readonly slowestMs: number;
  readonly hellosPerSecond: number;
  readonly halfOpen: number;
  readonly grownBytes: number;
  readonly drops: Readonly<Record<string, number>>;
}

function used(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers, external } = process.memoryUsage();
  return heapUsed + Math.max(arrayBuffers, external);
}

async function run(hellos: readonly Bytes[], count: number, limits?: P2pkeLimits): Promise<Outcome> {
  const realm = createMemoryRealm({ mtu: 1500 });
  const inner = realm.swarm();
  let inject: TellHandler<MemoryAddr> | undefined;
  const listen = inner.listen.bind(inner);
  inner.listen = (handler) => {
    inject = handler;
    return listen(handler);
  };
  await using hub = p2pke(inner, { privateKey: generateKey(), limits });
  let served = 0;
  hub.listen(() => void served++);
  const [addr] = hub.localAddrs();
  const before = used();
  let sent = 0;
  let flooding = true;
  const beganMs = performance.now();
  const flood = (async () => {
    while (sent < count) {
      for (let i = 0; i < BURST; i++, sent++) {
        const payload = hellos[sent % hellos.length]!.slice();
        void inject!({ src: memoryAddr(1_000_000 + sent), dst: addr!.inner, payload });
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    flooding = false;
  })();
  const times: number[] = [];
  for (let i = 0; i < HONEST || flooding; i++) {
    await using peer = p2pke(realm.swarm(), { privateKey: generateKey() });
    const startMs = performance.now();
    await peer.tell(addr!, Uint8Array.of(1)).then(
      () => times.push(performance.now() - startMs),
      () => undefined,
    );
    if (i >= HONEST) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await flood;
  const seconds = (performance.now() - beganMs) / 1000;
  await new Promise((resolve) => setTimeout(resolve, 50));
  const grownBytes = used() - before;
  times.sort((a, b) => a - b);
  return {
    served,
    medianMs: times[times.length >> 1] ?? Number.NaN,
    slowestMs: times.at(-1) ?? Number.NaN,
    hellosPerSecond: count / seconds,
    halfOpen: inspect(hub).state['halfOpen'] as number,
    grownBytes,
    drops: Object.fromEntries(hub.counters.drops),
  };
}

function report(name: string, outcome: Outcome): void {
  console.log(
    [
      name.padEnd(18),
      `${outcome.served} honest peers served, median ${outcome.medianMs.toFixed(1)} ms, slowest ${outcome.slowestMs.toFixed(1)} ms;`,
      `${Math.round(outcome.hellosPerSecond)} hellos/s; half-open ${outcome.halfOpen};`,
      `grown ${(outcome.grownBytes / 1024 / 1024).toFixed(1)} MiB; drops ${JSON.stringify(outcome.drops)}`,
    ].join(' '),
  );
}

const { values } = parseArgs({ options: { hellos: { type: 'string', default: '120000' } } });
const hellos = signedHellos();
const count = Number(values.hellos);
console.log(`Node ${process.version}; ${count} hellos, ${DISTINCT} of them distinct, each from an address of its own`);
report('no flood', await run(hellos, 0));
const flood = await run(hellos, count);
report('flood', flood);
const open = await run(hellos, 4000, { hellosPerSecond: Infinity });
report('flood, no gate', open);
const holds = flood.served >= HONEST && flood.grownBytes < STATED_BYTES && flood.halfOpen <= 1024;
console.log(holds ? `holds: below ${STATED_BYTES} bytes, every honest peer served` : 'DOES NOT HOLD');
const trusted = open.halfOpen > 1000; // an honest peer may just have taken the place of one
console.log(
  trusted ? 'control: without the gate the bounds are reached' : 'CONTROL FAILED: this run cannot be trusted',
);
process.exitCode = holds && trusted ? 0 : 1;
