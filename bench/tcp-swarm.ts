/**
 * What a batch that is sealed at once is worth: small messages over the TCP swarm and over Noise, beside one record for each
 * message, js-libp2p, and the ceiling without encryption. Two processes on loopback; the clock stops when the receiver has
 * processed all. js-libp2p is left out where it is not installed: `npm ci --ignore-scripts --prefix interop/js/libp2p`.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { type Bench, type Claim, counted, type Measure, median } from './harness/bench.ts';
import { Child, endAll, Lazy } from './harness/child.ts';
import { type End, programEnd } from './harness/ends.ts';
import type { TcpOrder } from './tcp-swarm-process.ts';

const SIZES = [64, 1024] as const;

/** Two ends, and a way to have messages sent from one to the other. */
interface Contender extends AsyncDisposable {
  readonly ends: readonly End[];
  /** Sends and answers how long it took in ms until all were processed. */
  readonly run: (count: number) => Promise<number>;
}

/** Processes of ours, by IPC. */
async function ours(kind: string, bytes: number): Promise<Contender> {
  const start = (): Child<TcpOrder, unknown> =>
    new Child(new URL('tcp-swarm-process.ts', import.meta.url), [kind, String(bytes)]);
  const [receiver, sender] = [start(), start()];
  const addr = (await receiver.order({ do: 'open' })) as string;
  await sender.order({ do: 'open' });
  return {
    ends: [sender, receiver],
    run: async (count) => {
      await receiver.order({ do: 'expect', count });
      const processed = receiver.order({ do: 'received' });
      const startMs = performance.now();
      const sent = sender.order({ do: 'send', addr, count, bytes });
      await processed;
      const ms = performance.now() - startMs;
      await sent;
      return ms;
    },
    [Symbol.asyncDispose]: () => endAll([receiver, sender]),
  };
}

const LIBP2P = new URL('../interop/js/libp2p/', import.meta.url);
const libp2pMissing = (): string | false =>
  existsSync(new URL('node_modules/libp2p', LIBP2P))
    ? false
    : 'js-libp2p: not installed (npm ci --ignore-scripts --prefix interop/js/libp2p)';

/** Ends a process, and lets go of what leads to it. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  for (const pipe of [child.stdin, child.stdout]) pipe?.destroy();
}

/** A js-libp2p process, told what to do in lines of JSON. */
function startLibp2p(): {
  readonly child: ChildProcess;
  readonly order: (order: object) => Promise<Record<string, string>>;
} {
  const child = spawn(process.execPath, [fileURLToPath(new URL('peer.mjs', LIBP2P))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<Record<string, string>> => JSON.parse(String((await lines.next()).value));
  return {
    child,
    order: (order) => {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      return answer();
    },
  };
}

/** js-libp2p: messages are writes to one stream. */
async function libp2p(bytes: number): Promise<Contender> {
  const [receiver, sender] = [startLibp2p(), startLibp2p()];
  const { addr, peer } = await receiver.order({ do: 'listen' });
  const to = `${addr}/p2p/${peer}`;
  return {
    ends: [sender, receiver].map(({ child }) => programEnd(child.pid!)),
    run: async (count) => {
      await receiver.order({ do: 'expect', count, bytes });
      const startMs = performance.now();
      const sent = sender.order({ do: 'flood', addr: to, count, bytes });
      await receiver.order({ do: 'wait' });
      await sent;
      return performance.now() - startMs;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([end(receiver.child), end(sender.child)]);
    },
  };
}

const KINDS = [
  { label: 'plain net, coalesced by hand', start: (bytes: number) => ours('plain', bytes), first: 750_000 },
  { label: 'TCP swarm', start: (bytes: number) => ours('swarm', bytes), first: 250_000 },
  { label: 'Noise, a record a batch', start: (bytes: number) => ours('noise', bytes), first: 250_000 },
  { label: 'Noise, a record a message', start: (bytes: number) => ours('noise-each', bytes), first: 25_000 },
  { label: 'js-libp2p, Noise', start: libp2p, first: 10_000, missing: libp2pMissing },
] as const;

export const tcpSwarm: Bench = {
  name: 'tcp-swarm',
  question:
    'small messages over encrypted TCP: what sealing a batch at once is worth, against a record for each message',
  prepare: () => {
    const open: Lazy<Contender>[] = [];
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const bytes of SIZES) {
      const name = (label: string): string => `${label}: ${bytes} B`;
      for (const kind of KINDS) {
        const contender = new Lazy(() => kind.start(bytes));
        open.push(contender);
        measures.push({
          name: name(kind.label),
          unit: 'messages/s',
          on: 'two cores',
          missing: 'missing' in kind ? kind.missing : undefined,
          ends: async () => (await contender.get()).ends,
          round: counted(async (count) => (await contender.get()).run(count), kind.first),
        });
      }
      const swarm = name('TCP swarm');
      const goal = bytes === 64 ? 5 : 3;
      claims.push(
        { subject: swarm, baseline: name('Noise, a record a message'), goal: { ratio: goal } },
        {
          subject: name('Noise, a record a batch'),
          baseline: name('Noise, a record a message'),
          goal: { ratio: goal },
        },
        { subject: swarm, baseline: name('js-libp2p, Noise'), goal: { ratio: 10 } },
        { subject: swarm, baseline: name('plain net, coalesced by hand') },
      );
    }
    return {
      measures,
      claims,
      controls: SIZES.flatMap((bytes) => {
        const [plain, ...sealed] = KINDS.slice(0, 3).map(({ label }) => `${label}: ${bytes} B`);
        return sealed.map((name) => ({
          what: `${name}: not faster than plain TCP`,
          of: name,
          needs: [plain!, name],
          holds: (figures) => median(figures.get(plain!)!) > median(figures.get(name)!),
        }));
      }),
      [Symbol.asyncDispose]: () => endAll(open),
    };
  },
};
