/**
 * What a batch that is sealed at once is worth: small messages over the TCP swarm and over Noise, beside one record for each
 * message, js-libp2p, and the ceiling without encryption. Two processes on loopback; the clock stops when the receiver has
 * processed all. js-libp2p is left out where it is not installed: `npm ci --ignore-scripts --prefix interop/js/libp2p`.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { type Bench, type Claim, type Measure, median } from './harness/bench.ts';

const SIZES = [64, 1024] as const;
const ROUND_MS = 700;

/** Two ends, and a way to have messages sent from one to the other. */
interface Contender {
  /** Sends and answers how long it took in ms until all were processed. */
  readonly run: (count: number) => Promise<number>;
  readonly close: () => Promise<void>;
}

/** Ends processes, and lets go of what leads to them. */
async function end(...children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    for (const pipe of [child.stdin, child.stdout]) pipe?.destroy();
    child.channel?.unref();
    child.unref();
  }
}

/** A process of ours, by IPC. */
async function ours(kind: string, bytes: number): Promise<Contender> {
  const start = (): ChildProcess =>
    fork(new URL('tcp-swarm-process.ts', import.meta.url), [kind, String(bytes)], {
      execArgv: ['--conditions=shoal-source'],
    });
  const [receiver, sender] = [start(), start()];
  const next = (child: ChildProcess): Promise<{ readonly addr?: string }> =>
    new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (code) => reject(new Error(`${kind} ended with ${code}`)));
    });
  const [{ addr }] = await Promise.all([next(receiver), next(sender)]);
  return {
    run: async (count) => {
      receiver.send({ do: 'expect', count, bytes });
      const done = next(receiver);
      const startMs = performance.now();
      sender.send({ do: 'send', addr, count, bytes });
      await done;
      return performance.now() - startMs;
    },
    close: () => end(receiver, sender),
  };
}

const LIBP2P = new URL('../interop/js/libp2p/', import.meta.url);

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
    run: async (count) => {
      await receiver.order({ do: 'expect', count, bytes });
      const startMs = performance.now();
      const sent = sender.order({ do: 'flood', addr: to, count, bytes });
      await receiver.order({ do: 'wait' });
      await sent;
      return performance.now() - startMs;
    },
    close: () => end(receiver.child, sender.child),
  };
}

const KINDS = [
  { label: 'plain net, coalesced by hand', start: (bytes: number) => ours('plain', bytes), guess: 3_000_000 },
  { label: 'TCP swarm', start: (bytes: number) => ours('swarm', bytes), guess: 1_000_000 },
  { label: 'Noise, a record a batch', start: (bytes: number) => ours('noise', bytes), guess: 1_000_000 },
  { label: 'Noise, a record a message', start: (bytes: number) => ours('noise-each', bytes), guess: 100_000 },
] as const;

export const tcpSwarm: Bench = {
  name: 'tcp-swarm',
  question:
    'small messages over encrypted TCP: what sealing a batch at once is worth, against a record for each message',
  prepare: async (quick) => {
    const hasRival = existsSync(new URL('node_modules/libp2p', LIBP2P));
    const open: Contender[] = [];
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const bytes of SIZES) {
      const kinds = [...KINDS, ...(hasRival ? [{ label: 'js-libp2p, Noise', start: libp2p, guess: 50_000 }] : [])];
      const name = (label: string): string => `${label}: ${bytes} B`;
      for (const { label, start, guess } of kinds) {
        const contender = await start(bytes);
        open.push(contender);
        let count = Math.max(1000, Math.round((guess * ROUND_MS) / 4000));
        measures.push({
          name: name(label),
          unit: 'messages/s',
          round: async () => {
            const ms = await contender.run(count);
            const perSecond = (count * 1000) / ms;
            count = Math.max(1000, Math.round((perSecond * (quick ? ROUND_MS / 2 : ROUND_MS)) / 1000));
            return perSecond;
          },
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
        ...(hasRival ? [{ subject: swarm, baseline: name('js-libp2p, Noise'), goal: { ratio: 10 } }] : []),
        { subject: swarm, baseline: name('plain net, coalesced by hand') },
      );
    }
    return {
      measures,
      claims,
      controls: (figures) => {
        const of = (label: string): number => median(figures.get(`${label}: 64 B`)!);
        return [
          {
            what: 'nothing encrypted is faster than plain TCP',
            ok: of('plain net, coalesced by hand') > Math.max(of('TCP swarm'), of('Noise, a record a batch')),
          },
        ];
      },
      notes: () => (hasRival ? [] : ['js-libp2p is not installed, and left out']),
      [Symbol.asyncDispose]: async () => {
        for (const contender of open) await contender.close();
      },
    };
  },
};
